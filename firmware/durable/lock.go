package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by TryLock when somebody else holds the lock.
var ErrLocked = errors.New("locked")

// Lock is held until Unlock or the end of the process, whatever ends it.
type Lock struct {
	f Handle
}

// TryLock takes the lock on path, a file made for it that stays, or returns
// ErrLocked at once with the holder's process id in the message. The lock
// binds only those who ask for it, in this process or another.
func TryLock(path string) (*Lock, error) { return Disk{}.TryLock(path) }

// TryLock is the function of the same name.
func (d Disk) TryLock(path string) (*Lock, error) {
	f, err := d.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	err = d.fs().Lock(f)
	if errors.Is(err, ErrLocked) {
		err = fmt.Errorf("%w by process %s", ErrLocked, holder(f))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The process id is for people; the lock is good without it, as on a
	// full disk.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{f: f}, nil
}

func holder(f Handle) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 20))
	pid, parseErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || parseErr != nil {
		return "unknown"
	}
	return strconv.Itoa(pid)
}

// Unlock gives the lock back. The file stays: removing it would let two
// processes each lock a file of that name.
func (l *Lock) Unlock() error {
	// A program that is just being started has the file too, until it runs, and would have the lock with it.
	var err error
	if file, ok := l.f.(interface{ Fd() uintptr }); ok {
		err = unix.Flock(int(file.Fd()), unix.LOCK_UN)
	}
	if err = errors.Join(err, l.f.Close()); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
