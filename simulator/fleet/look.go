package fleet

import (
	"fmt"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/simulator/frames"
)

// Seen is a unit as its disk tells, past all reports.
type Seen struct {
	Slot    boot.Slot  // that would boot, or was on trial when the power went
	Version string     // of the release in it, by the agent's own record
	State   wire.State // of its update
	Trouble string     // what is in the way
	Content frames.Content
}

// Look looks at unit n when the fleet is off. An error is a unit that would not boot.
func (f *Fleet) Look(n int) (Seen, error) {
	u := f.unit(n)
	file, err := boot.OpenFile(u.cfg.Bootloader.Dir, boot.FileOptions{Disk: u.still()})
	if err != nil {
		return Seen{}, err
	}
	state, err := file.State()
	if err != nil || state.Lost {
		return Seen{}, fmt.Errorf("%s: the state of its bootloader cannot be read: %w", u.name, err)
	}
	a, err := agent.New(u.cfg, agent.Options{Boot: file, Disk: u.still(), Version: u.opt.Version})
	if err != nil {
		return Seen{}, err
	}
	s, err := a.Status()
	if err != nil {
		return Seen{}, fmt.Errorf("%s: %w", u.name, err)
	}
	seen := Seen{Slot: state.Committed, Version: s.Version, State: s.State}
	if state.Trial == state.Running {
		seen.Slot = state.Running // whose release it is that the agent speaks of
	}
	if s.Trouble != nil {
		seen.Trouble = s.Trouble.Text
	}
	if f.store != nil {
		seen.Content, err = frames.Load(u.cfg.Slots.Path(seen.Slot))
	}
	return seen, err
}
