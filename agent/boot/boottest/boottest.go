// Package boottest holds what every kind of bootloader must pass: the agent's half (boot.Bootloader) and the
// bootloader's own half, played or real, against each other.
package boottest

import (
	"errors"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
)

// Rig is one device as the suite sees it.
type Rig struct {
	Boot   boot.Bootloader
	Reboot func() boot.Slot // starts the device anew; returns the slot that runs then
	Tries  int              // starts that a trial gets
	Lose   func()           // makes the stored state unreadable; nil if that cannot be done
}

// Run tests a kind of bootloader. Each device that start makes is new: it runs slot a, which is committed, and slot b
// holds nothing.
func Run(t *testing.T, start func(t testing.TB) Rig) {
	for _, c := range []struct {
		name string
		test func(t testing.TB, r Rig)
	}{
		{"a new device", newDevice},
		{"a good update", goodUpdate},
		{"a trial that runs out", trialRunsOut},
		{"a trial that is cancelled", cancelled},
		{"a trial that is forbidden", forbidden},
		{"a trial that is asked for again", triedAgain},
		{"back to the slot before", backToOld},
		{"what is refused", refusals},
		{"a committed slot has no counter", noCounter},
		{"asking twice is asking once", twice},
		{"a lost state", lost},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
	t.Run("any order", func(t *testing.T) { anyOrder(t, start) })
}

// must stops the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, r Rig, want boot.State) {
	t.Helper()
	got, err := r.Boot.State()
	if err != nil || got != want {
		t.Fatalf("state\n%+v, %v, want\n%+v", got, err, want)
	}
}

func reboots(t testing.TB, r Rig, want boot.Slot) {
	t.Helper()
	if got := r.Reboot(); got != want {
		s, err := r.Boot.State()
		t.Fatalf("slot %s was started, want %s; state %+v, %v", got, want, s, err)
	}
}

var (
	good   = boot.SlotState{Bootable: true}
	none   = boot.SlotState{}
	failed = boot.SlotState{Failed: true}
)

func newDevice(t testing.TB, r Rig) {
	want := boot.State{Running: boot.A, Committed: boot.A, A: good}
	expect(t, r, want)
	reboots(t, r, boot.A)
	expect(t, r, want)
	must(t, r.Boot.Cancel())
	expect(t, r, want)
}

func goodUpdate(t testing.TB, r Rig) {
	must(t, r.Boot.Forbid(boot.B))
	must(t, r.Boot.Try(boot.B))
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, Trial: boot.B, TriesLeft: r.Tries, A: good, B: good})
	reboots(t, r, boot.B)
	expect(t, r, boot.State{Running: boot.B, Committed: boot.A, Trial: boot.B, TriesLeft: r.Tries - 1, A: good, B: good})
	must(t, r.Boot.Commit(boot.B))
	expect(t, r, boot.State{Running: boot.B, Committed: boot.B, A: good, B: good})
	reboots(t, r, boot.B)
	expect(t, r, boot.State{Running: boot.B, Committed: boot.B, A: good, B: good})
}

// startTrial brings a device into its first start of a trial of slot b.
func startTrial(t testing.TB, r Rig) {
	t.Helper()
	must(t, r.Boot.Forbid(boot.B))
	must(t, r.Boot.Try(boot.B))
	reboots(t, r, boot.B)
}

func trialRunsOut(t testing.TB, r Rig) {
	startTrial(t, r)
	for range r.Tries - 1 {
		reboots(t, r, boot.B)
	}
	expect(t, r, boot.State{Running: boot.B, Committed: boot.A, Trial: boot.B, A: good, B: good})
	for range 3 {
		reboots(t, r, boot.A)
		expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good, B: failed})
	}
	must(t, r.Boot.Forbid(boot.B))
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good})
}

func cancelled(t testing.TB, r Rig) {
	must(t, r.Boot.Try(boot.B))
	must(t, r.Boot.Cancel())
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good})
	reboots(t, r, boot.A)
	startTrial(t, r)
	must(t, r.Boot.Cancel())
	expect(t, r, boot.State{Running: boot.B, Committed: boot.A, A: good})
	reboots(t, r, boot.A)
}

func forbidden(t testing.TB, r Rig) {
	must(t, r.Boot.Try(boot.B))
	must(t, r.Boot.Forbid(boot.B))
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good})
	reboots(t, r, boot.A)
}

func triedAgain(t testing.TB, r Rig) {
	startTrial(t, r)
	must(t, r.Boot.Try(boot.B))
	expect(t, r, boot.State{Running: boot.B, Committed: boot.A, Trial: boot.B, TriesLeft: r.Tries, A: good, B: good})
	reboots(t, r, boot.B)
}

func backToOld(t testing.TB, r Rig) {
	startTrial(t, r)
	must(t, r.Boot.Commit(boot.B))
	must(t, r.Boot.Try(boot.A))
	reboots(t, r, boot.A)
	must(t, r.Boot.Commit(boot.A))
	reboots(t, r, boot.A)
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good, B: good})
}

func refusals(t testing.TB, r Rig) {
	refused := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	refused(r.Boot.Forbid(boot.A), boot.ErrInUse)
	refused(r.Boot.Try(boot.A), boot.ErrInUse)
	refused(r.Boot.Commit(boot.B), boot.ErrUnproven)
	for _, bad := range []boot.Slot{"", "c"} {
		for _, f := range []func(boot.Slot) error{r.Boot.Forbid, r.Boot.Try, r.Boot.Commit} {
			if f(bad) == nil {
				t.Fatalf("slot %q was taken", bad)
			}
		}
	}
	expect(t, r, boot.State{Running: boot.A, Committed: boot.A, A: good})
	startTrial(t, r)
	refused(r.Boot.Forbid(boot.B), boot.ErrInUse)
	refused(r.Boot.Forbid(boot.A), boot.ErrInUse)
	must(t, r.Boot.Cancel())
	refused(r.Boot.Forbid(boot.B), boot.ErrInUse) // it runs still
}

func noCounter(t testing.TB, r Rig) {
	startTrial(t, r)
	must(t, r.Boot.Commit(boot.B))
	for range 30 {
		reboots(t, r, boot.B)
	}
}

func twice(t testing.TB, r Rig) {
	for _, step := range []func() error{
		func() error { return r.Boot.Forbid(boot.B) },
		func() error { return r.Boot.Try(boot.B) },
		r.Boot.Cancel,
		func() error { return r.Boot.Try(boot.B) },
		func() error { return r.Boot.Commit(boot.B) },
		func() error { return r.Boot.Try(boot.A) },
		func() error { return r.Boot.Commit(boot.A) },
	} {
		must(t, step())
		once, err := r.Boot.State()
		must(t, err)
		must(t, step())
		expect(t, r, once)
	}
}

func lost(t testing.TB, r Rig) {
	if r.Lose == nil {
		t.Log("NOT TESTED: the state of this bootloader cannot be lost")
		return
	}
	startTrial(t, r)
	must(t, r.Boot.Commit(boot.B))
	r.Lose()
	s, err := r.Boot.State()
	if err != nil || !s.Lost || s.Running != boot.B {
		t.Fatalf("state %+v, %v", s, err)
	}
	for _, err := range []error{r.Boot.Forbid(boot.A), r.Boot.Try(boot.A), r.Boot.Commit(boot.A)} {
		if !errors.Is(err, boot.ErrLost) {
			t.Fatalf("got %v, want %v", err, boot.ErrLost)
		}
	}
	must(t, r.Boot.Cancel())
	running := r.Reboot()
	if !running.Valid() {
		t.Fatalf("slot %q was started", running)
	}
	must(t, r.Boot.Commit(running))
	s, err = r.Boot.State()
	if err != nil || s.Lost || s.Running != running || s.Committed != running || s.Trial != "" || s.Of(running.Other()).Bootable {
		t.Fatalf("state %+v, %v", s, err)
	}
	reboots(t, r, running)
}
