package fleet

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/simulator/frames"
	"github.com/fairlead/fairlead/simulator/network"
)

// power is the supply of a unit from one start to the next.
type power struct {
	line  *network.Line
	state string // the agent's folder
	stop  context.CancelFunc

	mu    sync.Mutex
	off   bool
	slots []*frames.Slot
}

// away is where a state folder is while the power is off.
const away = ".off"

// cut takes the power away. It reports false if it is off already.
func (p *power) cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return false
	}
	p.off = true
	_ = os.Rename(p.state, p.state+away) // first: what is written from now on has nowhere to go
	for _, s := range p.slots {
		s.Cut()
	}
	p.line.Cut()
	p.stop()
	return true
}

// restore brings back what was there at the cut. Nothing may run.
func (p *power) restore() error {
	p.line.Restore()
	return unpark(p.state)
}

// unpark puts a state folder where it belongs. What an agent may have made in its place after the cut never was.
func unpark(state string) error {
	if _, err := os.Stat(state + away); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	return os.Rename(state+away, state)
}

// hold has a slot lose its power with the unit.
func (p *power) hold(s *frames.Slot) (install.Device, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return nil, frames.ErrPower
	}
	p.slots = append(p.slots, s)
	return s, nil
}

// has reports whether there is power.
func (p *power) has() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.off
}

// loader is the unit's bootloader as its system reaches it: not without power.
type loader struct {
	*boot.File
	power *power
}

var _ boot.Bootloader = loader{}

func (l loader) do(f func() error) error {
	l.power.mu.Lock()
	defer l.power.mu.Unlock()
	if l.power.off {
		return frames.ErrPower
	}
	return f()
}

// State implements boot.Bootloader.
func (l loader) State() (s boot.State, err error) {
	err = l.do(func() (err error) { s, err = l.File.State(); return err })
	return s, err
}

// Forbid implements boot.Bootloader.
func (l loader) Forbid(s boot.Slot) error { return l.do(func() error { return l.File.Forbid(s) }) }

// Try implements boot.Bootloader.
func (l loader) Try(s boot.Slot) error { return l.do(func() error { return l.File.Try(s) }) }

// Commit implements boot.Bootloader.
func (l loader) Commit(s boot.Slot) error { return l.do(func() error { return l.File.Commit(s) }) }

// Cancel implements boot.Bootloader.
func (l loader) Cancel() error { return l.do(l.File.Cancel) }
