package fleet

import (
	"context"
	"sync"

	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/simulator/frames"
	"github.com/fairlead/fairlead/simulator/network"
)

// power is the supply of a unit from one start to the next.
type power struct {
	line *network.Line
	stop context.CancelFunc

	mu    sync.Mutex
	off   bool
	slots []*frames.Slot
}

// cut takes the power away. It reports false if it is off already.
func (p *power) cut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return false
	}
	p.off = true
	for _, s := range p.slots {
		s.Cut()
	}
	p.line.Cut()
	p.stop()
	return true
}

// do does something that takes power, whole or not at all.
func (p *power) do(f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off {
		return frames.ErrPower
	}
	return f()
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
