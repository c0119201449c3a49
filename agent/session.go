package agent

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// Names in the state folder; see the package comment.
const (
	lockName     = "agent.lock"
	imageName    = "image"
	directorName = "director"
	journalName  = "journal"
)

// session is the state folder, opened and locked.
type session struct {
	*Agent
	lock *durable.Lock
	out  *outbox.Outbox
	m    *machine
	// floor is trusted time as far as it was verified, in Unix seconds. It is a copy,
	// because the clients hold their own locks while they wait for the network, which
	// asks for the time.
	floor atomic.Int64
}

// open takes the state folder. ErrRunning if another agent has it.
func (a *Agent) open() (*session, error) {
	if err := a.o.Disk.MkdirAll(a.cfg.State, 0o700); err != nil {
		return nil, fmt.Errorf("open the state folder: %w", err)
	}
	lock, err := a.o.Disk.TryLock(a.path(lockName))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("%w: %w: stop it first, systemctl stop fairlead-agent", ErrRunning, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state folder: %w", err)
	}
	s := &session{Agent: a, lock: lock}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return s, nil
}

func (s *session) prepare() (err error) {
	if err := s.o.Disk.SweepTemps(s.cfg.State); err != nil {
		return err
	}
	if s.out, err = outbox.Open(s.cfg.State, outbox.Options{Log: s.o.Log, Disk: s.o.Disk, Names: s.o.Names}); err != nil {
		return err
	}
	s.m = &machine{
		observe: s.o.Observe,
		files:   s.folder(), boot: s.boot, out: s.out, now: s.now, log: s.o.Log,
		native: Release{Product: s.cfg.Product, Version: s.cfg.Factory.Version, Counter: s.cfg.Factory.Counter, Image: s.cfg.Factory.Image},
	}
	return s.m.open()
}

func (s *session) close() error { return s.lock.Unlock() }

// now is trusted time: the latest of the clock, the build time, and what was verified.
func (s *session) now() time.Time {
	now := s.clock()
	if least := time.Unix(s.floor.Load(), 0); least.After(now) {
		now = least
	}
	return now.UTC().Truncate(time.Millisecond)
}

// raise lifts the floor of trusted time.
func (s *session) raise(t time.Time) {
	for {
		old := s.floor.Load()
		if t.Unix() <= old || s.floor.CompareAndSwap(old, t.Unix()) {
			return
		}
	}
}

// openRepository opens the image repository's metadata, from source. One at a time.
func (s *session) openRepository(source client.Source) (*client.Client, error) {
	root, err := readRoot(s.cfg.Root, "root")
	if err != nil {
		return nil, err
	}
	c, err := client.Open(client.Config{
		Dir: s.path(imageName), Disk: s.o.Disk, Root: root, Source: source,
		Clock: s.o.Clock, BuildTime: s.o.BuildTime, Log: s.o.Log, Roots: s.o.Roots,
	})
	if err != nil {
		return nil, fmt.Errorf("open the repository's metadata: %w", err)
	}
	s.raise(c.Versions().Time)
	return c, nil
}

// maxRoot bounds a root metadata file, in bytes.
const maxRoot = 512_000

func readRoot(path, key string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxRoot {
		err = fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), maxRoot)
	}
	if err != nil {
		return nil, keyError(key, "%w: put the repository's root metadata there", err)
	}
	return os.ReadFile(path)
}

// inactive is the slot that may be written: the one that does not run.
func inactive(b boot.State) boot.Slot { return b.Running.Other() }
