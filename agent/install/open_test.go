package install

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenSlotRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) (path string, o SlotOptions)
		want error
		text string
	}{
		{"a folder", func(t *testing.T, dir string) (string, SlotOptions) { return dir, SlotOptions{} },
			ErrIO, "neither a regular file nor a block device"},
		{"a character device", func(t *testing.T, dir string) (string, SlotOptions) { return "/dev/null", SlotOptions{} },
			ErrIO, "neither a regular file nor a block device"},
		{"a pipe", func(t *testing.T, dir string) (string, SlotOptions) {
			path := filepath.Join(dir, "pipe")
			must(t, unix.Mkfifo(path, 0o600))
			return path, SlotOptions{}
		}, ErrIO, "neither a regular file nor a block device"},
		{"the active slot", func(t *testing.T, dir string) (string, SlotOptions) {
			a := file(t, dir, "a")
			return a, SlotOptions{Active: a}
		}, ErrBusy, "the active slot"},
		{"a link to the active slot", func(t *testing.T, dir string) (string, SlotOptions) {
			a := file(t, dir, "a")
			must(t, os.Symlink("a", filepath.Join(dir, "b")))
			return filepath.Join(dir, "b"), SlotOptions{Active: a}
		}, ErrBusy, "the active slot"},
		{"another name of the active slot", func(t *testing.T, dir string) (string, SlotOptions) {
			a := file(t, dir, "a")
			must(t, os.Link(a, filepath.Join(dir, "b")))
			return filepath.Join(dir, "b"), SlotOptions{Active: a}
		}, ErrBusy, "the active slot"},
		{"the active slot, which is missing", func(t *testing.T, dir string) (string, SlotOptions) {
			must(t, os.Symlink(".", filepath.Join(dir, "d")))
			return filepath.Join(dir, "d", "a"), SlotOptions{Active: filepath.Join(dir, "a"), Capacity: 1}
		}, ErrBusy, "the active slot"},
		{"a link to nothing", func(t *testing.T, dir string) (string, SlotOptions) {
			must(t, os.Symlink("nothing", filepath.Join(dir, "b")))
			return filepath.Join(dir, "b"), SlotOptions{Capacity: 1}
		}, ErrIO, "file exists"},
		{"a missing file without a size", func(t *testing.T, dir string) (string, SlotOptions) {
			return filepath.Join(dir, "b"), SlotOptions{}
		}, ErrIO, "it is missing"},
		{"a missing file in a missing folder", func(t *testing.T, dir string) (string, SlotOptions) {
			return filepath.Join(dir, "c", "b"), SlotOptions{Capacity: 1}
		}, ErrIO, "no such file"},
		{"a missing device", func(t *testing.T, dir string) (string, SlotOptions) {
			return "/dev/fairlead-no-such-device", SlotOptions{Capacity: 1 << 20}
		}, ErrIO, "is the device there"},
		{"a slot that is open", func(t *testing.T, dir string) (string, SlotOptions) {
			b := file(t, dir, "b")
			openTestSlot(t, b, SlotOptions{})
			return b, SlotOptions{}
		}, ErrBusy, "another agent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, o := c.make(t, t.TempDir())
			_, before := os.Stat(path)
			d, err := OpenSlot(path, o)
			if err == nil {
				d.Close()
			}
			if _, after := os.Stat(path); (before == nil) != (after == nil) {
				t.Errorf("%s was made", path)
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	return path
}

// A slot file is made, through a folder that is a link too, and grows to the image, not to its capacity.
func TestSlotFileIsMadeAndGrows(t *testing.T) {
	rel := makeRelease(t, testImage(9, 0))
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	path := filepath.Join(dir, "link", "slot-b")
	d := openTestSlot(t, path, SlotOptions{Active: filepath.Join(dir, "slot-a"), Capacity: 1 << 20})
	if d.Capacity() != 1<<20 {
		t.Errorf("capacity %d", d.Capacity())
	}
	if _, err := Run(t.Context(), plan(t, &memorySource{release: rel}, d, t.TempDir())); err != nil {
		t.Fatal(err)
	}
	checkSlot(t, path, rel.image)
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(rel.image)) {
		t.Errorf("%v, %v; want %d bytes", info.Size(), err, len(rel.image))
	}
}

// A slot that is only read may be one that is in use, and cannot be written.
func TestReadOnlySlot(t *testing.T) {
	path := fileSlot(t, 4096)
	openTestSlot(t, path, SlotOptions{})
	d := openTestSlot(t, path, SlotOptions{ReadOnly: true})
	if _, err := d.WriteAt([]byte{1}, 0); err == nil {
		t.Error("it was written")
	}
	if _, err := OpenSlot(filepath.Join(t.TempDir(), "none"), SlotOptions{ReadOnly: true, Capacity: 1}); err == nil {
		t.Error("it was made")
	}
}

// Nothing is written beyond what a slot may hold.
func TestCapacityHolds(t *testing.T) {
	path := fileSlot(t, 8192)
	d := openTestSlot(t, path, SlotOptions{Capacity: 4096})
	if _, err := d.WriteAt(make([]byte, 2), 4095); !errors.Is(err, ErrTooSmall) {
		t.Errorf("write: %v", err)
	}
	if err := d.Zero(4095, 2); !errors.Is(err, ErrTooSmall) {
		t.Errorf("zero: %v", err)
	}
	if err := d.Reserve(4097, nil); !errors.Is(err, ErrTooSmall) || !strings.Contains(err.Error(), "4097") {
		t.Errorf("reserve: %v", err)
	}
	checkSlot(t, path, nil)
}

// Zeros take no room in a file that has holes, and keep the room of one that has none.
func TestZerosInFiles(t *testing.T) {
	const size = 1 << 20
	for _, c := range []struct {
		name string
		make func(t *testing.T) string
		want int64 // bytes allocated afterwards, at most
		keep bool
	}{
		{"grown", func(t *testing.T) string { return filepath.Join(t.TempDir(), "slot") }, size / 4, false},
		{"allocated", func(t *testing.T) string { return fileSlot(t, size) }, size, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.make(t)
			d := openTestSlot(t, path, SlotOptions{Capacity: size})
			must(t, d.Reserve(size, []Extent{{0, 65536}}))
			must(t, d.Zero(65536, size-65536))
			must(t, d.Sync())
			info, err := os.Stat(path)
			must(t, err)
			if got := allocated(info); got > c.want || c.keep && got < c.want {
				t.Errorf("%d bytes are allocated, want %d", got, c.want)
			}
			b, err := os.ReadFile(path)
			if err != nil || len(b) != size || !isZero(b[65536:]) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// What cannot be punched is read first; only what is not zero is written.
func TestZeroWritesOnlyWhatIsNot(t *testing.T) {
	for _, kind := range deviceKinds(t) {
		t.Run(kind.name, func(t *testing.T) {
			path := kind.make(t, 1<<20)
			d := openTestSlot(t, path, SlotOptions{}).(*slot)
			must(t, d.zeroChunks(100, 600_000))
			must(t, d.zeroChunks(0, 700_001))
			must(t, d.Sync())
			checkSlot(t, path, make([]byte, 700_001))
		})
	}
	readOnly := openTestSlot(t, fileSlot(t, 4096), SlotOptions{})
	must(t, readOnly.Zero(0, 4096))
	d := openTestSlot(t, readOnly.(*slot).Name(), SlotOptions{ReadOnly: true}).(*slot)
	if err := d.zeroChunks(0, 4096); err != nil {
		t.Errorf("zeros were written over zeros: %v", err)
	}
}

func TestIsZero(t *testing.T) {
	for n := range 20 {
		b := make([]byte, n)
		if !isZero(b) {
			t.Errorf("%d zeros are none", n)
		}
		for i := range b {
			if isZero(flipped(b, i)) {
				t.Errorf("byte %d of %d was overlooked", i, n)
			}
		}
	}
}

// What is verified is the medium, not a page of memory that still holds what was meant to be on it.
func TestVerifyReadsTheMedium(t *testing.T) {
	if why := noLoop(); why != "" {
		t.Logf("NOT TESTED on block devices: %s", why)
		return
	}
	rel := makeRelease(t, testImage(5, 0))
	medium := fileSlot(t, 1<<20)
	loop := attachLoop(t, medium)
	d := openTestSlot(t, loop, SlotOptions{})
	if _, err := Run(t.Context(), plan(t, &memorySource{release: rel}, d, fastDir(t))); err != nil {
		t.Fatal(err)
	}
	checkSlot(t, loop, rel.image) // the loop device's pages are in memory now
	for _, at := range []int{0, 3*testFrame + 5, len(rel.image) - 1} {
		f, err := os.OpenFile(medium, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{rel.image[at] ^ 1}, int64(at))
		must(t, err)
		if err := VerifySlot(t.Context(), d, rel.manifest.Image, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d differs on the medium: %v", at, err)
		}
		_, err = f.WriteAt(rel.image[at:at+1], int64(at))
		must(t, err)
		must(t, f.Close())
	}
	if err := VerifySlot(t.Context(), d, rel.manifest.Image, nil); err != nil {
		t.Error(err)
	}
	if s := d.(*slot); s.direct == nil || s.indirect.Load() {
		t.Errorf("a block device was read through the page cache")
	}
}

// Offsets beyond 2^31 and 2^32 reach their bytes, and a device's reads and zeros do too.
func TestLargeOffsets(t *testing.T) {
	const size = 1<<32 + 3<<20
	path := filepath.Join(t.TempDir(), "slot")
	d := openTestSlot(t, path, SlotOptions{Capacity: size})
	offsets := []int64{0, 1<<31 - 1<<20, 1 << 31, 1<<32 - 1<<20, 1 << 32, size - 1<<20}
	var data []Extent
	for _, off := range offsets {
		data = append(data, Extent{off, 1 << 20})
	}
	must(t, d.Reserve(size, data))
	for i, off := range offsets {
		_, err := d.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 1<<20), off)
		must(t, err)
	}
	must(t, d.Zero(1<<31, 1<<20))
	must(t, d.Sync())
	for i, off := range offsets {
		want := bytes.Repeat([]byte{byte(i + 1)}, 1<<20)
		if off == 1<<31 {
			clear(want)
		}
		bufs, err := newBuffers(1, 1<<20)
		must(t, err)
		got := bufs.take()
		if _, err := d.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
			t.Errorf("offset %d: other bytes came back, %v", off, err)
		}
		bufs.close()
	}
}

func TestCheckMounts(t *testing.T) {
	info := "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n" +
		"37 35 7:12 / /media/a\\040b rw - ext4 /dev/loop12 rw\nshort line\n"
	if err := checkMounts(strings.NewReader(info), unix.Mkdev(7, 12)); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "/media/a") {
		t.Error(err)
	}
	for _, free := range []uint64{unix.Mkdev(7, 1), unix.Mkdev(98, 1), unix.Mkdev(35, 98)} {
		if err := checkMounts(strings.NewReader(info), free); err != nil {
			t.Error(err)
		}
	}
	if err := checkMounts(strings.NewReader(strings.Repeat("x", maxMountLine+1)), 1); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("a line that is too long: %v", err)
	}
}

// The real system says the same of its real devices.
func TestDevicesInUse(t *testing.T) {
	if why := noLoop(); why != "" {
		t.Logf("NOT TESTED on block devices: %s", why)
		return
	}
	file := fileSlot(t, 4<<20)
	loop := attachLoop(t, file)
	if _, err := OpenSlot(file, SlotOptions{}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), filepath.Base(loop)) {
		t.Errorf("the medium of a loop device: %v", err)
	}
	if _, err := OpenSlot(loop, SlotOptions{Active: loop}); !errors.Is(err, ErrBusy) {
		t.Errorf("the active device: %v", err)
	}
	twin := filepath.Join(t.TempDir(), "twin")
	info, err := os.Stat(loop)
	must(t, err)
	if err := unix.Mknod(twin, unix.S_IFBLK|0o600, int(deviceNumber(info))); err != nil {
		t.Logf("NOT TESTED: another node of the active device: %v", err)
	} else if _, err := OpenSlot(loop, SlotOptions{Active: twin}); !errors.Is(err, ErrBusy) {
		t.Errorf("the active device under another node: %v", err)
	}
	first := openTestSlot(t, loop, SlotOptions{})
	if _, err := OpenSlot(loop, SlotOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a device that is open: %v", err)
	}
	must(t, first.Close())
	other, err := os.OpenFile(loop, os.O_RDONLY|os.O_EXCL, 0) // as a mount of another namespace, or LVM, would
	must(t, err)
	if _, err := OpenSlot(loop, SlotOptions{}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "mounted, part of") {
		t.Errorf("a device that something else holds: %v", err)
	}
	must(t, other.Close())
	testMounted(t, loop)
}

func testMounted(t *testing.T, loop string) {
	if out, err := exec.Command("mkfs.ext4", "-q", loop).CombinedOutput(); err != nil {
		t.Logf("NOT TESTED: a mounted device: mkfs.ext4: %v: %s", err, out)
		return
	}
	dir := t.TempDir()
	if err := unix.Mount(loop, dir, "ext4", 0, ""); err != nil {
		t.Logf("NOT TESTED: a mounted device: %v", err)
		return
	}
	defer func() { must(t, unix.Unmount(dir, 0)) }()
	if _, err := OpenSlot(loop, SlotOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a mounted device: %v", err)
	}
	info, err := os.Stat(loop)
	must(t, err)
	if err := checkUnused(info); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a mounted device in mountinfo: %v", err)
	}
}

// On a file system that is too full the slot stays as it is, and the message says what is missing.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("fairlead", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Logf("NOT TESTED on a full disk: mounting a small file system: %v", err)
		return
	}
	defer func() { must(t, unix.Unmount(dir, 0)) }()
	old := bytes.Repeat([]byte{0xA5}, 100_000)
	for _, c := range []struct {
		name   string
		slot   []byte
		rubble int // bytes of another file
		image  []byte
		fits   bool
	}{
		{"too large for the disk", old, 0, testImage(12, 0), false},
		{"too large for what is free", old, 400_000, testImage(4, 0), false},
		{"too large for a new file", nil, 400_000, testImage(3, 0), false},
		{"zeros need no room", old, 300_000, make([]byte, 1<<20), true},
		{"the slot's own room counts", bytes.Repeat([]byte{0xA5}, 6*testFrame), 100_000, testImage(6, 1), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, rubble := filepath.Join(dir, "slot"), filepath.Join(dir, "rubble")
			os.Remove(path)
			must(t, os.WriteFile(rubble, make([]byte, c.rubble), 0o600))
			must(t, os.WriteFile(path, c.slot, 0o600))
			d := openTestSlot(t, path, SlotOptions{Capacity: 2 << 20})
			_, err := Run(t.Context(), plan(t, &memorySource{release: makeRelease(t, c.image)}, d, t.TempDir()))
			must(t, d.Close())
			if c.fits {
				must(t, err)
				checkSlot(t, path, c.image)
				return
			}
			if !errors.Is(err, ErrNoSpace) || Class(err) != "no_space" || !strings.Contains(err.Error(), "more bytes") {
				t.Errorf("got %v (%s)", err, Class(err))
			}
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, c.slot) {
				t.Errorf("the slot was changed; %v", err)
			}
		})
	}
}

// When the exact allocation fails after the estimate went well, the file gets its old length back.
func TestReserveGivesBack(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("fairlead", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Logf("NOT TESTED on a full disk: mounting a small file system: %v", err)
		return
	}
	defer func() { must(t, unix.Unmount(dir, 0)) }()
	path := filepath.Join(dir, "slot")
	must(t, os.WriteFile(path, bytes.Repeat([]byte{0xA5}, 400_000), 0o600))
	d := openTestSlot(t, path, SlotOptions{Capacity: 2 << 20})
	defer d.Close()
	if err := d.Reserve(900_000, []Extent{{500_000, 400_000}}); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 400_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
