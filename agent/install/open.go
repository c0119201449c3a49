package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fairlead/fairlead/firmware/durable"
	"golang.org/x/sys/unix"
)

// OpenSlot opens the slot at path, a regular file or a block device, by itself or through links such as
// /dev/disk/by-partlabel/…. It holds the slot alone until Close: a block device by O_EXCL, a file by flock.
//
// ErrBusy: the slot is the active one, is mounted or otherwise in use, or is opened by another agent. ErrIO: it is
// neither file nor block device, is missing and cannot be made, or fails.
func OpenSlot(path string, o SlotOptions) (Device, error) {
	d, err := openSlot(path, o)
	if err != nil {
		return nil, slotError("opening slot "+path, err)
	}
	return d, nil
}

func openSlot(path string, o SlotOptions) (*slot, error) {
	real, create, err := resolve(path, o)
	if err != nil {
		return nil, err
	}
	if create {
		if err := makeSlot(real); err != nil {
			return nil, err
		}
	}
	found, err := os.Lstat(real)
	if err != nil {
		return nil, err
	}
	flags, err := openFlags(found, o)
	if err != nil {
		return nil, err
	}
	if err := checkActive(real, found, o.Active); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(real, flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: it is mounted, part of something that is, or opened by another agent: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	s, err := claim(f, found, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// resolve follows links to what they name. A slot file may be missing, and is made then; a device node may not: a file in
// its place would swallow the update.
func resolve(path string, o SlotOptions) (real string, create bool, err error) {
	real, err = filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, false, err
	}
	dir, dirErr := filepath.EvalSymlinks(filepath.Dir(path))
	if dirErr != nil {
		return "", false, dirErr
	}
	real = filepath.Join(dir, filepath.Base(path))
	if o.Capacity <= 0 || o.ReadOnly || real == "/dev" || strings.HasPrefix(real, "/dev/") {
		return "", false, fmt.Errorf("%w: it is missing; is the device there, and its name right?", err)
	}
	return real, true, checkNotActive(real, o.Active)
}

// checkNotActive keeps a file that is to be made from becoming the active slot.
func checkNotActive(real, active string) error {
	if active == "" {
		return nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(active))
	if err == nil && filepath.Join(dir, filepath.Base(active)) == real {
		return fmt.Errorf("%w: it is the active slot", ErrBusy)
	}
	return nil
}

func makeSlot(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func openFlags(info os.FileInfo, o SlotOptions) (int, error) {
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if o.ReadOnly {
		flags = os.O_RDONLY | unix.O_NOFOLLOW
	}
	switch info.Mode().Type() {
	case 0:
		return flags, nil
	case os.ModeDevice:
		if !o.ReadOnly {
			flags |= os.O_EXCL
		}
		return flags, nil
	}
	return 0, fmt.Errorf("it is neither a regular file nor a block device (%s)", info.Mode().Type())
}

// checkActive refuses what is the active slot under another name.
func checkActive(real string, info os.FileInfo, active string) error {
	if active == "" {
		return nil
	}
	other, err := os.Stat(active)
	if errors.Is(err, fs.ErrNotExist) {
		return checkNotActive(real, active)
	}
	if err != nil {
		return fmt.Errorf("making sure that it is not the active slot: %w", err)
	}
	same := os.SameFile(info, other)
	if info.Mode().Type() == os.ModeDevice && other.Mode().Type() == os.ModeDevice {
		same = deviceNumber(info) == deviceNumber(other)
	}
	if same {
		return fmt.Errorf("%w: it is the active slot", ErrBusy)
	}
	return nil
}

func deviceNumber(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Rdev)
	}
	return 0
}

// claim makes sure that what was opened is what was looked at, and that nobody else has it.
func claim(f *os.File, found os.FileInfo, o SlotOptions) (*slot, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(info, found) || info.Mode().Type() != found.Mode().Type() {
		return nil, errors.New("it was exchanged while it was opened")
	}
	if !o.ReadOnly {
		if err := checkUnused(info); err != nil {
			return nil, err
		}
		err := retryEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: another agent has it open", ErrBusy)
		}
		if err != nil {
			return nil, fmt.Errorf("locking: %w", err)
		}
	}
	return newSlot(f, info, o.Capacity, o.ReadOnly)
}
