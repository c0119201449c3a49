package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/fairlead/fairlead/firmware/durable"
)

const (
	pairName    = "boot"
	runningName = "running"
	maxRunning  = 64 // bytes of the running file that are looked at
)

// FileOptions shape a File.
type FileOptions struct {
	Tries int  // starts that a trial gets, 1 to 7; 0 means 1
	First Slot // committed slot of a folder that holds no state yet; "" means a

	Disk durable.Disk // where the folder is
}

// File is a bootloader whose state lies in a folder. It is safe for concurrent use within one process; between processes
// the agent's own lock keeps order.
type File struct {
	disk  durable.Disk
	dir   string
	tries int
	first Slot
	mu    sync.Mutex
}

var _ Bootloader = (*File)(nil)

// OpenFile opens the boot state in dir, and makes the folder if it is not there. It writes no state.
func OpenFile(dir string, o FileOptions) (*File, error) {
	f := &File{disk: o.Disk, dir: dir, tries: max(o.Tries, 1), first: A}
	if o.Tries < 0 || o.Tries > maxTries {
		return nil, fmt.Errorf("opening the boot state: %d tries, want 1 to %d", o.Tries, maxTries)
	}
	if o.First != "" {
		f.first = o.First
	}
	if !f.first.Valid() {
		return nil, fmt.Errorf("opening the boot state: no slot %q, want a or b", f.first)
	}
	if err := f.disk.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the boot state: %w", err)
	}
	return f, f.disk.SweepTemps(dir)
}

// State implements Bootloader.
func (f *File) State() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.load()
	if errors.Is(err, ErrLost) {
		running, err := f.said()
		if err != nil {
			return State{}, err
		}
		return lostState(running), nil
	}
	if err != nil {
		return State{}, err
	}
	running, _, err := f.runs(r)
	if err != nil {
		return State{}, err
	}
	return r.state(running), nil
}

// lostState is what can be said without a stored state: that something runs.
func lostState(running Slot) State {
	if running == "" {
		running = A
	}
	r := firstRecord(running)
	s := r.state(running)
	s.Lost = true
	return s
}

// Forbid implements Bootloader.
func (f *File) Forbid(s Slot) error {
	return f.change("forbidding", s, func(r *record, running Slot) error { return r.forbid(s, running) })
}

// Try implements Bootloader.
func (f *File) Try(s Slot) error {
	return f.change("trying", s, func(r *record, _ Slot) error { return r.try(s, f.tries) })
}

// Commit implements Bootloader. It is also the repair of a lost state. It saves twice, so that both generations hold the
// new committed slot, and a copy that rots later does not bring the old one back.
func (f *File) Commit(s Slot) error {
	commit := func(r *record, running Slot) error { return r.commit(s, running) }
	err := f.change("committing", s, commit)
	if errors.Is(err, ErrLost) {
		err = f.repair(s)
	}
	if err != nil {
		return err
	}
	return f.change("committing", s, commit)
}

// repair makes a state anew from the one thing that is known, the slot that runs. From here on the start counts as an
// ordinary one, so that another loss begins at the first of the last resorts again.
func (f *File) repair(s Slot) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	running, err := f.said()
	if err != nil {
		return fmt.Errorf("committing slot %q: %w", s, err)
	}
	if s != lostState(running).Running {
		return fmt.Errorf("committing slot %q: %w, and it is not the slot that runs", s, ErrLost)
	}
	if err := f.save(firstRecord(s)); err != nil {
		return fmt.Errorf("committing slot %q: %w", s, err)
	}
	return f.note(s, whyCommitted)
}

// Cancel implements Bootloader.
func (f *File) Cancel() error {
	err := f.edit(func(r *record, _ Slot) error {
		r.endTrial(false)
		return nil
	})
	if errors.Is(err, ErrLost) {
		return nil // a state that nobody can read asks for no trial
	}
	if err != nil {
		return fmt.Errorf("cancelling the trial: %w", err)
	}
	return nil
}

// change edits what the state says of a slot.
func (f *File) change(doing string, s Slot, edit func(r *record, running Slot) error) error {
	return about(doing, s, func() error { return f.edit(edit) })
}

// about does something to a slot, and says in its error to which.
func about(doing string, s Slot, do func() error) error {
	err := fmt.Errorf("no such slot, want %s or %s", A, B)
	if s.Valid() {
		err = do()
	}
	if err != nil {
		return fmt.Errorf("%s slot %q: %w", doing, s, err)
	}
	return nil
}

// edit loads, edits and saves. It saves also when nothing changed: an earlier call may have failed after its bytes
// became visible and before they were durable.
func (f *File) edit(edit func(r *record, running Slot) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, err := f.load()
	if err != nil {
		return err
	}
	running, why, err := f.runs(r)
	if err != nil {
		return err
	}
	if err := edit(&r, running); err != nil {
		return err
	}
	if err := f.save(r); err != nil {
		return err
	}
	return f.note(running, why)
}

// load returns the stored state; the first state for a folder that was never used; ErrLost if there was one.
func (f *File) load() (record, error) {
	data, err := f.disk.LoadPair(f.dir, pairName)
	switch {
	case err == nil:
		r, err := parseRecord(data)
		if err != nil {
			return record{}, fmt.Errorf("%w: %w", ErrLost, err)
		}
		return r, nil
	case errors.Is(err, durable.ErrCorrupt):
		return record{}, fmt.Errorf("%w: %w", ErrLost, err)
	case !errors.Is(err, fs.ErrNotExist):
		return record{}, fmt.Errorf("reading the boot state: %w", err)
	}
	if slot, _, _ := f.running(); slot != "" {
		return record{}, fmt.Errorf("%w: it is gone from %s", ErrLost, f.dir)
	}
	return firstRecord(f.first), nil
}

// save writes the state; SavePair reads it back.
func (f *File) save(r record) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if err := f.disk.SavePair(f.dir, pairName, data); err != nil {
		return fmt.Errorf("writing the boot state: %w", err)
	}
	return nil
}

// errSilent: the file that says which slot runs is there, and says nothing.
var errSilent = errors.New("the file \"running\" says nothing")

// runs returns which slot runs, and why, beside a state. While there is a trial, only that file can tell.
func (f *File) runs(r record) (Slot, string, error) {
	slot, why, err := f.running()
	switch {
	case errors.Is(err, errSilent) && r.Trial != "":
		return "", "", fmt.Errorf("slot %s may run on trial, and %w: reboot", r.Trial, err)
	case err != nil && !errors.Is(err, errSilent):
		return "", "", err
	case slot == "":
		return r.Committed, whyCommitted, nil // nothing was ever booted through this folder
	}
	return slot, why, nil
}

// said is what runs by the word of that file, none if it says nothing.
func (f *File) said() (Slot, error) {
	slot, _, err := f.running()
	if errors.Is(err, errSilent) {
		err = nil
	}
	return slot, err
}

// running returns what Boot started last and why; none when it never did. A file that cannot be read, or says nothing, is an
// error: whoever took the committed slot for the one that runs would write to the one that does.
func (f *File) running() (Slot, string, error) {
	data, err := f.disk.ReadFile(filepath.Join(f.dir, runningName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("reading which slot runs: %w", err)
	}
	if slot, why := parseRunning(data); slot != "" && len(data) <= maxRunning {
		return slot, why, nil
	}
	return "", "", errSilent
}
