package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/agent"
)

// TestUnitsEnrolInTurns: who has a turn keeps it until it has enrolled, or for upMost; who is enrolled waits for nobody.
func TestUnitsEnrolInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fleet{cfg: Config{Ramp: 1}, locks: &locks{held: map[string]bool{}}, turns: make(chan struct{}, 1)}
		fresh := func() *unit { return &unit{fleet: f, files: newMemory("/u"), cfg: agent.Config{State: "/u"}} }
		waited := func(u *unit) time.Duration {
			begin := time.Now()
			f.turn(t.Context(), u)
			return time.Since(begin)
		}
		first := fresh()
		if d := waited(first); d != 0 {
			t.Errorf("the first waited %v", d)
		}
		time.AfterFunc(time.Second, first.opt.Notify.Enrolled)
		if d := waited(fresh()); d != time.Second {
			t.Errorf("the second waited %v for the first, which took a second", d)
		}
		if d := waited(fresh()); d != upMost {
			t.Errorf("the third waited %v for one that does not enrol", d)
		}
		old := fresh()
		if err := old.still().WriteFile("/u/identity.json", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if d := waited(old); d != 0 {
			t.Errorf("one that is enrolled waited %v", d)
		}
		time.Sleep(upMost) // timers
	})
}
