package install

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faultyDevice fails as told: each func, if set, is asked first with the number of the call, from 0, and has the last
// word if it returns true.
type faultyDevice struct {
	Device
	faults

	mu                          sync.Mutex
	writes, reads, zeros, syncs int
}

type faults struct {
	write func(n int, p []byte, off int64) (int, error, bool)
	read  func(n int, p []byte, off int64) (int, error, bool)
	zero  func(n int, off, length int64) (error, bool)
	sync  func(n int) (error, bool)

	quiet int // reads are counted, and can fail, after so many syncs
}

func (d *faultyDevice) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if d.write != nil {
		if n, err, mine := d.write(d.writes-1, p, off); mine {
			return n, err
		}
	}
	return d.Device.WriteAt(p, off)
}

func (d *faultyDevice) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.syncs < d.quiet {
		return d.Device.ReadAt(p, off)
	}
	d.reads++
	if d.read != nil {
		if n, err, mine := d.read(d.reads-1, p, off); mine {
			return n, err
		}
	}
	return d.Device.ReadAt(p, off)
}

func (d *faultyDevice) Zero(off, length int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zeros++
	if d.zero != nil {
		if err, mine := d.zero(d.zeros-1, off, length); mine {
			return err
		}
	}
	return d.Device.Zero(off, length)
}

func (d *faultyDevice) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.sync != nil {
		if err, mine := d.sync(d.syncs - 1); mine {
			return err
		}
	}
	return d.Device.Sync()
}

// at makes a fault of the call n.
func at(n int, err error) func(int, []byte, int64) (int, error, bool) {
	return func(i int, _ []byte, _ int64) (int, error, bool) { return 0, err, i == n }
}

// The slot fails once, in every way that a medium has. The Run fails, or heals; the next one, on a slot that works,
// succeeds, and starts over where nothing may be believed.
func TestSlotFaults(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0)) // 11 stored frames, 3 of zeros
	for _, c := range []struct {
		name   string
		device faults
		want   error // nil: it heals
		text   string
		kept   int // frames in the journal afterwards; -1: no journal
		healed int
	}{
		{name: "write fails", device: faults{write: at(7, syscall.EIO)}, want: ErrIO, text: "writing the slot at byte", kept: 8},
		{name: "first write fails", device: faults{write: at(0, syscall.EIO)}, want: ErrIO, kept: 0},
		{name: "disk becomes full", device: faults{write: at(7, syscall.ENOSPC)}, want: ErrNoSpace, text: "free some", kept: 8},
		{name: "quota is used up", device: faults{write: at(7, syscall.EDQUOT)}, want: ErrNoSpace, kept: 8},
		{name: "zeroing fails", device: faults{zero: func(n int, _, _ int64) (error, bool) { return syscall.EIO, n == 1 }}, want: ErrIO, text: "zeroing the slot", kept: 4},
		{name: "short write", device: faults{write: func(n int, p []byte, _ int64) (int, error, bool) { return len(p) - 1, nil, n == 7 }}, want: ErrIO, text: "bytes were taken", kept: 8},
		{name: "first sync fails", device: faults{sync: failSync(0)}, want: ErrIO, text: "counts as unwritten", kept: -1},
		{name: "third sync fails", device: faults{sync: failSync(2)}, want: ErrIO, kept: -1},
		{name: "last sync fails", device: faults{sync: failSync(3)}, want: ErrIO, kept: -1},
		{name: "sync finds the disk full", device: faults{sync: func(n int) (error, bool) { return syscall.ENOSPC, n == 1 }}, want: ErrNoSpace, kept: -1},
		{name: "reading back fails", device: faults{quiet: 4, read: at(2, syscall.EIO)}, want: ErrIO, text: "reading the slot at byte", kept: -1},
		{name: "reading back ends early", device: faults{quiet: 4, read: func(n int, p []byte, _ int64) (int, error, bool) { return 1, io.EOF, n == 2 }}, kept: 14, healed: 1},
		{name: "a write is lost", device: faults{write: func(n int, p []byte, _ int64) (int, error, bool) { return len(p), nil, n == 5 }}, kept: 14, healed: 1},
		{name: "zeroing is lost", device: faults{zero: func(n int, _, _ int64) (error, bool) { return nil, n == 1 }}, kept: 14, healed: 1},
		{name: "four writes are lost", device: faults{write: func(n int, p []byte, _ int64) (int, error, bool) { return len(p), nil, n < 4 }}, kept: 14, healed: 4},
	} {
		for _, kind := range deviceKinds(t) {
			t.Run(c.name+"/"+kind.name, func(t *testing.T) {
				path, journal := kind.make(t, 1<<20), fastDir(t)
				d := &faultyDevice{Device: openTestSlot(t, path, SlotOptions{}), faults: c.device}
				p := plan(t, &memorySource{release: rel}, d, journal)
				p.Limits.Workers = 1 // frames are written in their order
				res, err := Run(t.Context(), p)
				if !errors.Is(err, c.want) || c.text != "" && !strings.Contains(err.Error(), c.text) {
					t.Fatalf("got %v, want %v with %q", err, c.want, c.text)
				}
				if kept := journaled(t, journal); kept != c.kept || res.Healed != c.healed {
					t.Errorf("journal says %d frames, want %d; healed %d, want %d", kept, c.kept, res.Healed, c.healed)
				}
				s := &memorySource{release: rel}
				again, err := Run(t.Context(), plan(t, s, d.Device, journal))
				if err != nil {
					t.Fatal(err)
				}
				if c.kept == -1 && again.Skipped != 0 {
					t.Errorf("%d bytes of a slot of which nothing may be believed were not looked at", again.Skipped)
				}
				checkSlot(t, path, rel.image)
			})
		}
	}
}

func failSync(at int) func(int) (error, bool) {
	return func(n int) (error, bool) { return syscall.EIO, n == at }
}

// A failed fsync is not tried again: the kernel may have thrown the data away and say that all is well.
func TestSyncIsNotTriedAgain(t *testing.T) {
	d := &faultyDevice{Device: openTestSlot(t, fileSlot(t, 1<<20), SlotOptions{}), faults: faults{sync: failSync(1)}}
	_, err := Run(t.Context(), plan(t, &memorySource{release: makeRelease(t, testImage(14, 0))}, d, t.TempDir()))
	if !errors.Is(err, ErrIO) || d.syncs != 2 {
		t.Errorf("%d syncs, %v", d.syncs, err)
	}
}

// lendingDevice lends what it holds, as a slot in memory.
type lendingDevice struct{ *faultyDevice }

func (d lendingDevice) Lend(off int64, n int) []byte {
	p := make([]byte, n)
	got, _ := d.ReadAt(p, off)
	return p[:got]
}

// A bit that flips in the slot after it was written is found and healed; one that always flips is named.
func TestBitFlipInSlot(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0))
	for _, c := range []struct {
		name  string
		flips int // how many writes of the frame lose a bit
		lends bool
		want  string
	}{
		{"once", 1, false, ""},
		{"once, in a slot that lends", 1, true, ""},
		{"always", 9, false, "frame 9, at byte 589824 of the slot, was written twice and reads back wrong"},
		{"always, in a slot that lends", 9, true, "frame 9, at byte 589824 of the slot, was written twice and reads back wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, journal := fileSlot(t, 1<<20), fastDir(t)
			flips := 0
			d := &faultyDevice{Device: openTestSlot(t, path, SlotOptions{})}
			d.write = func(_ int, p []byte, off int64) (int, error, bool) {
				if off != 9*testFrame || flips == c.flips {
					return 0, nil, false
				}
				flips++
				n, err := d.Device.WriteAt(flipped(p, 1234), off)
				return n, err, true
			}
			var target Device = d
			if c.lends {
				target = lendingDevice{d}
			}
			s := &memorySource{release: rel}
			res, err := Run(t.Context(), plan(t, s, target, journal))
			if res.Healed != 1 || flips == 0 {
				t.Fatalf("healed %d after %d flips, %v", res.Healed, flips, err)
			}
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				checkSlot(t, path, rel.image)
				return
			}
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || journaled(t, journal) != -1 {
				t.Errorf("got %v, want %q; journal %d", err, c.want, journaled(t, journal))
			}
		})
	}
}

// An install that breaks off while it heals has one frame left to fetch.
func TestHealingIsResumed(t *testing.T) {
	s := &memorySource{release: makeRelease(t, testImage(14, 0))}
	path, journal := fileSlot(t, 1<<20), fastDir(t)
	d := &faultyDevice{Device: openTestSlot(t, path, SlotOptions{})}
	d.write = func(n int, p []byte, off int64) (int, error, bool) { return len(p), nil, n == 1 || n == 7 }
	healing := 0 // requests since the journal was complete
	s.open = func(int, int64, int64) (io.ReadCloser, error) {
		if journaled(t, journal) == 14 {
			healing++
		}
		if healing > 1 {
			return nil, errLine
		}
		return nil, nil
	}
	p := plan(t, s, d, journal)
	p.Limits.Workers = 1 // frames are written in their order
	if res, err := Run(t.Context(), p); !errors.Is(err, ErrUnavailable) || res.Healed != 2 || journaled(t, journal) != 14 {
		t.Fatalf("%+v, %v; journal %d", res, err, journaled(t, journal))
	}
	p.Source = &memorySource{release: s.release}
	if res, err := Run(t.Context(), p); err != nil || res.Healed != 1 || len(p.Source.(*memorySource).framesAsked()) != 1 {
		t.Errorf("%+v, %v; frames %v", res, err, p.Source.(*memorySource).framesAsked())
	}
	checkSlot(t, path, s.image)
}

// The source breaks off, lies or is silent; what is written stays written.
func TestSourceFaults(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0))
	head := rel.manifest.Artifact.Head.Length
	for _, c := range []struct {
		name     string
		open     func(s *memorySource) func(n int, offset, length int64) (io.ReadCloser, error)
		want     error // nil: it gets over it
		text     string
		attempts int
	}{
		{name: "breaks off once in every request", attempts: 3, open: func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
			broke := map[int64]bool{}
			return func(_ int, offset, length int64) (io.ReadCloser, error) {
				if end := offset + length; !broke[end] {
					broke[end] = true
					return brokenReader(s.at(offset, length), length/3), nil
				}
				return nil, nil
			}
		}},
		{name: "ends early without an error", open: func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
			return func(n int, offset, length int64) (io.ReadCloser, error) {
				if n%2 == 0 {
					return s.at(offset, length-1), nil
				}
				return nil, nil
			}
		}},
		{name: "refuses five times in a row", open: func(*memorySource) func(int, int64, int64) (io.ReadCloser, error) {
			return func(n int, _, _ int64) (io.ReadCloser, error) {
				if n > 1 && n < 7 {
					return nil, errLine
				}
				return nil, nil
			}
		}},
		{name: "refuses for good", want: ErrUnavailable, text: "the line broke", open: func(*memorySource) func(int, int64, int64) (io.ReadCloser, error) {
			return func(n int, _, _ int64) (io.ReadCloser, error) {
				if n > 2 {
					return nil, errLine
				}
				return nil, nil
			}
		}},
		{name: "asks for too much patience", want: ErrUnavailable, text: "later", open: func(*memorySource) func(int, int64, int64) (io.ReadCloser, error) {
			return func(n int, _, _ int64) (io.ReadCloser, error) {
				if n == 2 {
					return nil, patience(time.Hour)
				}
				return nil, nil
			}
		}},
		{name: "wrong head once", open: wrongBytes(func(n int, _ int64) bool { return n == 0 })},
		{name: "wrong head", want: ErrCorrupt, text: "head is not the one of the manifest", open: wrongBytes(func(_ int, off int64) bool { return off < head })},
		{name: "wrong frame once", open: wrongBytes(func(n int, _ int64) bool { return n == 2 })},
		{name: "wrong frame", want: ErrCorrupt, text: "frame 5", open: wrongByte(rel.head.Frame(5).Offset + 3)},
		{name: "all wrong", want: ErrCorrupt, text: "the source gave 4 wrong frames", open: wrongBytes(func(n int, _ int64) bool { return n > 0 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, journal := fileSlot(t, 1<<20), fastDir(t)
			d := openTestSlot(t, path, SlotOptions{})
			s := &memorySource{release: rel}
			s.open = c.open(s)
			p := plan(t, s, d, journal)
			p.Limits.Attempts = c.attempts
			_, err := Run(t.Context(), p)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want %v with %q", err, c.want, c.text)
			}
			kept := journaled(t, journal)
			good := &memorySource{release: rel}
			if _, err := Run(t.Context(), plan(t, good, d, journal)); err != nil {
				t.Fatal(err)
			}
			for _, i := range good.framesAsked() {
				if i < kept {
					t.Errorf("frame %d was fetched again, %d were durable", i, kept)
				}
			}
			checkSlot(t, path, rel.image)
		})
	}
}

// wrongBytes flips a bit in the middle of what certain requests give.
func wrongBytes(when func(n int, offset int64) bool) func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
	return func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
		return func(n int, offset, length int64) (io.ReadCloser, error) {
			if !when(n, offset) {
				return nil, nil
			}
			b := s.artifact[offset : offset+length]
			middle := min(len(b)/2, testFrame/64)
			return io.NopCloser(strings.NewReader(string(flipped(b, middle)))), nil
		}
	}
}

// wrongByte flips a bit of one byte of the artifact, whoever asks for it.
func wrongByte(at int64) func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
	return func(s *memorySource) func(int, int64, int64) (io.ReadCloser, error) {
		return func(n int, offset, length int64) (io.ReadCloser, error) {
			if at < offset || at >= offset+length {
				return nil, nil
			}
			b := s.artifact[offset : offset+length]
			return io.NopCloser(strings.NewReader(string(flipped(b, int(at-offset))))), nil
		}
	}
}

// patience is the error of a server that wants to be left alone for a while.
type patience time.Duration

func (p patience) Error() string             { return "come back later" }
func (p patience) RetryAfter() time.Duration { return time.Duration(p) }

func TestBackoff(t *testing.T) {
	r := &run{Plan: Plan{Limits: Limits{Backoff: time.Second, MaxBackoff: 10 * time.Second}}}
	for _, c := range []struct {
		failures int
		random   float64
		err      error
		want     time.Duration
	}{
		{1, 0, errLine, 0},
		{1, 0.5, errLine, 500 * time.Millisecond},
		{3, 0.5, errLine, 2 * time.Second},
		{5, 0.5, errLine, 5 * time.Second},
		{500, 0.5, errLine, 5 * time.Second},
		{1, 0.5, patience(3 * time.Second), 3 * time.Second},
		{5, 0.5, patience(3 * time.Second), 5 * time.Second},
	} {
		r.Rand = func() float64 { return c.random }
		if got := r.backoff(c.failures, c.err); got != c.want {
			t.Errorf("after %d failures with %v: %v, want %v", c.failures, c.err, got, c.want)
		}
	}
}

// A pause ends with the context, at once.
func TestPauseIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &memorySource{release: makeRelease(t, testImage(3, 0))}
	s.open = func(int, int64, int64) (io.ReadCloser, error) { cancel(); return nil, errLine }
	p := plan(t, s, openTestSlot(t, fileSlot(t, 1<<20), SlotOptions{}), t.TempDir())
	p.Limits.Backoff, p.Limits.MaxBackoff = time.Hour, time.Hour
	if _, err := Run(ctx, p); !errors.Is(err, context.Canceled) || Class(err) != "cancelled" {
		t.Errorf("%v (%s)", err, Class(err))
	}
}
