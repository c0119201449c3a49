package client_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// inNamespace runs the test again in a process of its own that may mount, and
// tells whether this is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv("FAIRLEAD_TEST_NAMESPACE") == t.Name() {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "FAIRLEAD_TEST_NAMESPACE="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("this machine does not let a test mount a file system: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run:\n%s", out)
	}
	return false
}

func mountTmpfs(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestFullDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	r := newRepo(t)
	d := newDevice(t, r)
	disk := mountTmpfs(t, "256k")
	d.config.Dir = filepath.Join(disk, "tuf")
	d.restart()
	d.mustRefresh()
	before := d.versions()
	files := len(strings.Split(snapshotDir(t, d.config.Dir), "\n"))

	junk, err := os.Create(filepath.Join(disk, "junk"))
	must(t, err)
	for err == nil {
		_, err = junk.Write(make([]byte, 4096))
	}
	must(t, junk.Close())
	must(t, d.refresh()) // nothing new needs no space
	r.PublishAll()
	d.refuses(client.ErrNoSpace)
	if v := d.versions(); v.Timestamp != before.Timestamp {
		t.Errorf("trusts what it could not keep: %+v", v)
	}
	d.restart()
	if got := len(strings.Split(snapshotDir(t, d.config.Dir), "\n")); got != files {
		t.Errorf("%d files where there were %d:\n%s", got, files, snapshotDir(t, d.config.Dir))
	}
	forged := newRepo(t)
	_, alien := forged.Newest("timestamp")
	version, good := r.Newest("timestamp")
	r.Put("timestamp", version, alien)
	d.refuses(client.ErrSignature) // a full disk excuses nothing
	r.Put("timestamp", version, good)
	must(t, os.Remove(junk.Name()))
	d.mustRefresh()
}

func TestReadOnlyDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	r := newRepo(t)
	d := newDevice(t, r)
	disk := mountTmpfs(t, "1m")
	d.config.Dir = filepath.Join(disk, "tuf")
	d.restart()
	d.mustRefresh()
	must(t, d.client.Close())
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	d.start()
	d.mustRefresh()
	r.PublishAll()
	d.refuses(client.ErrStore)
	must(t, d.client.Close())
	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT, ""))
	d.start()
	d.mustRefresh()
}

func TestStoreInTheWay(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		d.config.Dir = dir
		if _, err := client.Open(d.config); !errors.Is(err, client.ErrStore) {
			t.Errorf("a store at %s: %v", dir, err)
		}
	}
}

func TestOneClientPerStore(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	if _, err := client.Open(d.config); !errors.Is(err, client.ErrBusy) {
		t.Fatalf("a second client: %v", err)
	}
	d.restart()
	must(t, d.client.Close())
	must(t, d.client.Close())
}

// TestCrashAtEachWrite leaves the store as each crash would: what is written
// later is as it was before.
func TestCrashAtEachWrite(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	old := readDir(t, d.config.Dir)
	r.Rotate("timestamp")
	r.Publish("root")
	r.PublishAll()
	d.mustRefresh()
	newer := readDir(t, d.config.Dir)
	names := []string{"metadata/root.json", "metadata/timestamp.json", "metadata/snapshot.json", "metadata/targets.json", "metadata/" + product + ".json", "floors.0", "floors.1"}
	all := 1<<len(names) - 1
	masks := []int{0, all}
	for i := range names { // written up to here, this one alone, all but this one
		masks = append(masks, 1<<i-1, 1<<i, all&^(1<<i))
	}
	for _, mask := range masks {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "metadata"), 0o700))
		for i, name := range names {
			from := old
			if mask&(1<<i) != 0 {
				from = newer
			}
			if b, ok := from[name]; ok {
				must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
			}
		}
		d.config.Dir = dir
		d.restart()
		d.mustRefresh()
		if v := d.versions(); v.Root != 2 || v.Timestamp != 3 {
			t.Fatalf("state %07b: trusts %+v", mask, v)
		}
	}
}

func readDir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			files[name] = mustRead(t, path)
		}
		return err
	}))
	return files
}

func TestMethodsTakeTurns(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if err := d.refresh(); err != nil {
					t.Error(err)
				}
				if _, err := d.client.Target(context.Background(), release); err != nil {
					t.Error(err)
				}
				d.client.Versions()
				d.client.TrustedTime()
			}
		})
	}
	wg.Wait()
}
