package install

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	mountinfo    = "/proc/self/mountinfo"
	loopBackings = "/sys/block/loop*/loop/backing_file"
	maxMountLine = 64 << 10
)

// checkUnused refuses a block device that is mounted, and a file that is the medium of a loop device. O_EXCL finds the
// first too, where the mount is one of this system's own.
func checkUnused(info os.FileInfo) error {
	if info.Mode().Type() == os.ModeDevice {
		f, err := os.Open(mountinfo)
		if err != nil {
			return fmt.Errorf("making sure that it is not mounted: %w", err)
		}
		defer f.Close()
		return checkMounts(f, deviceNumber(info))
	}
	loops, err := filepath.Glob(loopBackings)
	if err != nil {
		return err
	}
	for _, l := range loops {
		if err := checkLoop(l, info); err != nil {
			return err
		}
	}
	return nil
}

// checkMounts reads lines of mountinfo (proc_pid_mountinfo(5)): id, parent, major:minor, root, mount point, ….
func checkMounts(r io.Reader, device uint64) error {
	want := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMountLine)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && fields[2] == want {
			return fmt.Errorf("%w: it is mounted at %s", ErrBusy, fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("making sure that it is not mounted: %w", err)
	}
	return nil
}

// checkLoop looks at one loop device; it may be gone by now.
func checkLoop(backing string, info os.FileInfo) error {
	path, err := os.ReadFile(backing)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making sure that no loop device uses it: %w", err)
	}
	other, err := os.Stat(strings.TrimSuffix(string(path), "\n"))
	if err == nil && os.SameFile(info, other) {
		return fmt.Errorf("%w: %s shows it as a block device", ErrBusy, strings.TrimSuffix(strings.TrimPrefix(backing, "/sys/block/"), "/loop/backing_file"))
	}
	return nil
}
