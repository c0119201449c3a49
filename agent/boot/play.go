package boot

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Boot plays the bootloader at a start of the device: it decides which slot to start, and writes down what it must
// before that slot may run. It always names a slot. An error beside it tells what could not be read or written; the
// slot is then the safest choice, and to start it is still right.
func (f *File) Boot() (Slot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slot, why, err := f.choose()
	return slot, errors.Join(err, f.note(slot, why))
}

func (f *File) choose() (slot Slot, why string, err error) {
	r, err := f.load()
	if err != nil {
		slot = f.lastResort()
		return slot, whyLastResort, fmt.Errorf("booting slot %s as the last resort: %w", slot, err)
	}
	if r.Trial != "" && r.Tries > 0 {
		return f.startTrial(r)
	}
	if r.Trial != "" {
		r.endTrial(true)
		err = f.save(r)
	} else if running, _, _ := f.running(); running == "" {
		err = f.save(r) // the first start makes the state, so that its loss can be noticed later
	}
	return r.Committed, whyCommitted, err
}

// startTrial takes one from the tries before the trial may run. A trial that cannot be counted is not started: it could
// never be seen to end.
func (f *File) startTrial(r record) (Slot, string, error) {
	r.Tries--
	if err := f.save(r); err != nil {
		return r.Committed, whyCommitted, fmt.Errorf("counting the trial of slot %s: %w", r.Trial, err)
	}
	return r.Trial, whyTrial, nil
}

// lastResort alternates, beginning with a: whatever was started the last time did not get as far as a repair.
func (f *File) lastResort() Slot {
	if slot, why, _ := f.running(); why == whyLastResort {
		return slot.Other()
	}
	return A
}

// note tells the system that is about to run which slot it is. A start that changes nothing writes nothing.
func (f *File) note(slot Slot, why string) error {
	if was, reason, _ := f.running(); was == slot && reason == why {
		return nil
	}
	line := fmt.Sprintf("%s %s\n", slot, why)
	if err := f.disk.WriteFile(filepath.Join(f.dir, runningName), []byte(line), 0o600); err != nil {
		return fmt.Errorf("noting that slot %s runs: %w", slot, err)
	}
	return nil
}
