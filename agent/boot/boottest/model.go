package boottest

import (
	"errors"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
	"pgregory.net/rapid"
)

// model is what a bootloader must do, in as few words as possible.
type model struct {
	boot.State
	tries int
}

func (m *model) of(s boot.Slot) *boot.SlotState {
	if s == boot.A {
		return &m.A
	}
	return &m.B
}

func (m *model) forget(failed bool) {
	if m.Trial != "" {
		*m.of(m.Trial) = boot.SlotState{Failed: failed}
	}
	m.Trial, m.TriesLeft = "", 0
}

func (m *model) forbid(s boot.Slot) error {
	if s == m.Committed || s == m.Running {
		return boot.ErrInUse
	}
	if s == m.Trial {
		m.forget(false)
	}
	*m.of(s) = none
	return nil
}

func (m *model) try(s boot.Slot) error {
	if s == m.Committed {
		return boot.ErrInUse
	}
	*m.of(s), m.Trial, m.TriesLeft = good, s, m.tries
	return nil
}

func (m *model) commit(s boot.Slot) error {
	if s != m.Running && !m.of(s).Bootable {
		return boot.ErrUnproven
	}
	if s != m.Trial {
		m.forget(false)
	}
	*m.of(s), m.Committed, m.Trial, m.TriesLeft = good, s, "", 0
	return nil
}

func (m *model) reboot() boot.Slot {
	if m.Trial != "" && m.TriesLeft > 0 {
		m.TriesLeft--
		m.Running = m.Trial
		return m.Running
	}
	m.forget(true)
	m.Running = m.Committed
	return m.Running
}

// anyOrder compares the bootloader with the model over random sequences. Both must agree at each step, and whatever
// happens, a slot that may be started is started.
func anyOrder(t *testing.T, start func(t testing.TB) Rig) {
	rapid.Check(t, func(rt *rapid.T) {
		r := start(t)
		m := &model{State: boot.State{Running: boot.A, Committed: boot.A, A: good}, tries: r.Tries}
		slots := rapid.SampledFrom([]boot.Slot{boot.A, boot.B})
		same := func(got, want error) {
			if !errors.Is(got, want) {
				rt.Fatalf("got %v, want %v", got, want)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"forbid": func(rt *rapid.T) { s := slots.Draw(rt, "slot"); same(r.Boot.Forbid(s), m.forbid(s)) },
			"try":    func(rt *rapid.T) { s := slots.Draw(rt, "slot"); same(r.Boot.Try(s), m.try(s)) },
			"commit": func(rt *rapid.T) { s := slots.Draw(rt, "slot"); same(r.Boot.Commit(s), m.commit(s)) },
			"cancel": func(rt *rapid.T) { m.forget(false); same(r.Boot.Cancel(), nil) },
			"reboot": func(rt *rapid.T) {
				got, want := r.Reboot(), m.reboot()
				if got != want || !m.of(got).Bootable {
					rt.Fatalf("slot %s was started, want %s; %+v", got, want, m.State)
				}
			},
			"": func(rt *rapid.T) {
				if got, err := r.Boot.State(); err != nil || got != m.State {
					rt.Fatalf("state\n%+v, %v, want\n%+v", got, err, m.State)
				}
			},
		})
	})
}
