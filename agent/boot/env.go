package boot

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fairlead/fairlead/firmware/durable"
)

// CommandLine is where the kernel tells what the boot script gave it; the script adds "fairlead.slot=a" or "=b".
const CommandLine = "/proc/cmdline"

// EnvOptions shape an Env.
type EnvOptions struct {
	Tries   int  // starts that a trial gets, 1 to 7; 0 means 1
	Running Slot // what runs; "" means what CommandLine says

	Disk durable.Disk // where the environment is
}

// Env is a real bootloader, to which the agent speaks through variables in its environment. It is safe for concurrent use
// within one process; between processes the agent's own lock keeps order.
type Env struct {
	store   store
	disk    durable.Disk
	tries   int
	mu      sync.Mutex
	running Slot
}

var _ Bootloader = (*Env)(nil)

// store is an environment in two copies.
type store interface {
	// load returns the variables of the copy that the bootloader goes by, and ErrLost if it finds none.
	load() (variables, error)
	// save writes both copies, one after the other, each durable and read back before the next.
	save(variables) error
	// play writes what the boot script writes, in the way that it does: without a flush, and without a look at what came of it.
	play(variables)
}

// errNotEnv is of bytes that are no environment, and may be anything: nobody writes over them.
var errNotEnv = errors.New("no environment was ever here")

func newEnv(s store, o EnvOptions) (*Env, error) {
	if o.Tries < 0 || o.Tries > maxTries {
		return nil, fmt.Errorf("opening the boot environment: %d tries, want 1 to %d", o.Tries, maxTries)
	}
	if o.Running != "" && !o.Running.Valid() {
		return nil, fmt.Errorf("opening the boot environment: no slot %q, want a or b", o.Running)
	}
	if _, err := s.load(); err != nil && !errors.Is(err, ErrLost) {
		return nil, fmt.Errorf("opening the boot environment: %w", err)
	}
	return &Env{store: s, disk: o.Disk, tries: max(o.Tries, 1), running: o.Running}, nil
}

// State implements Bootloader.
func (e *Env) State() (State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	running, err := e.runs()
	if err != nil {
		return State{}, err
	}
	r, _, err := e.load()
	if errors.Is(err, ErrLost) {
		return lostState(running), nil
	}
	if err != nil {
		return State{}, err
	}
	return r.state(running), nil
}

// Forbid implements Bootloader.
func (e *Env) Forbid(s Slot) error {
	return about("forbidding", s, func() error {
		return e.edit(func(r *record, running Slot) error { return r.forbid(s, running) })
	})
}

// Try implements Bootloader.
func (e *Env) Try(s Slot) error {
	return about("trying", s, func() error {
		return e.edit(func(r *record, _ Slot) error { return r.try(s, e.tries) })
	})
}

// Commit implements Bootloader. It is also the repair of a lost state, from the one thing that is known: what runs.
func (e *Env) Commit(s Slot) error {
	return about("committing", s, func() error {
		err := e.edit(func(r *record, running Slot) error { return r.commit(s, running) })
		if !errors.Is(err, ErrLost) {
			return err
		}
		return e.repair(s, err)
	})
}

func (e *Env) repair(s Slot, lost error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	running, err := e.runs()
	if err != nil {
		return err
	}
	if s != running {
		return fmt.Errorf("%w, and it is not the slot that runs", lost)
	}
	v, err := e.store.load()
	if err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	r := firstRecord(s)
	return e.store.save(v.with(r.variables()...))
}

// Cancel implements Bootloader.
func (e *Env) Cancel() error {
	err := e.edit(func(r *record, _ Slot) error {
		r.endTrial(false)
		return nil
	})
	if err == nil || errors.Is(err, ErrLost) {
		return nil // a state that nobody can read asks for no trial
	}
	return fmt.Errorf("cancelling the trial: %w", err)
}

// edit saves also when nothing changed: an earlier call may have failed between its two copies.
func (e *Env) edit(edit func(r *record, running Slot) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	running, err := e.runs()
	if err != nil {
		return err
	}
	r, v, err := e.load()
	if err != nil {
		return err
	}
	if err := edit(&r, running); err != nil {
		return err
	}
	return e.store.save(v.with(r.variables()...))
}

// load returns the state, and all variables where there are any; ErrLost if they say no state.
func (e *Env) load() (record, variables, error) {
	v, err := e.store.load()
	if err != nil {
		return record{}, v, err
	}
	r, err := v.record()
	if err != nil {
		return record{}, v, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return r, v, nil
}

// runs says which slot runs. The kernel's word is asked for once: it does not change.
func (e *Env) runs() (Slot, error) {
	if e.running != "" {
		return e.running, nil
	}
	b, err := e.disk.ReadFile(CommandLine)
	if err != nil {
		return "", fmt.Errorf("reading which slot runs: %w", err)
	}
	s, err := slotOf(string(b))
	if err == nil {
		e.running = s
	}
	return s, err
}

// slotOf finds the slot in a kernel's command line. Two that differ say nothing.
func slotOf(line string) (Slot, error) {
	var found Slot
	for _, word := range strings.Fields(line) {
		value, ok := strings.CutPrefix(word, "fairlead.slot=")
		if !ok {
			continue
		}
		s := Slot(value)
		if !s.Valid() || found.Valid() && found != s {
			return "", fmt.Errorf("reading which slot runs: %q on the kernel's command line, want fairlead.slot=a or fairlead.slot=b, once", word)
		}
		found = s
	}
	if found == "" {
		return "", errors.New("reading which slot runs: the kernel's command line has no fairlead.slot=a or =b: the boot script must add it")
	}
	return found, nil
}

// Boot plays the boot script at a start of the device, as docs/boot.md has it: it decides which slot to start, and writes
// down what it must. It always names a slot. An error beside it tells what could not be read or written.
func (e *Env) Boot() (Slot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	slot, err := e.choose()
	e.running = slot
	return slot, err
}

func (e *Env) choose() (Slot, error) {
	r, v, err := e.load()
	if err != nil {
		slot := A
		if v.get(varLast) == "a" {
			slot = B
		}
		e.store.play(variables{{varLast, string(slot)}})
		return slot, fmt.Errorf("booting slot %s as the last resort: %w", slot, err)
	}
	if r.Trial == "" {
		return r.Committed, nil
	}
	if r.Tries == 0 {
		r.endTrial(true)
		e.store.play(r.variables())
		return r.Committed, nil
	}
	r.Tries--
	e.store.play(r.variables())
	if now, _, err := e.load(); err != nil || now != r { // a trial that is not counted would never be seen to end
		return r.Committed, errors.Join(fmt.Errorf("counting the trial of slot %s: it was not written", r.Trial), err)
	}
	return r.Trial, nil
}
