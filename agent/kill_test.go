package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/wire"
)

// TestKilledInEveryState ends the agent in each state, as a restart of the process or as a
// power cut, and lets it start again.
func TestKilledInEveryState(t *testing.T) {
	for _, state := range []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying, wire.Committed} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/power=%v", state, cut), func(t *testing.T) {
				t.Parallel()
				site := newSite(t)
				release(nil)(site)
				u := newUnit(t, site)
				u.enroll()
				update := site.Direct(u.id, "1.1.0", nil)
				if !u.killAt(state) {
					t.Fatalf("never came to %s: %v", state, u.events())
				}
				if cut {
					u.power()
				}
				end := u.untilEnd(update)
				// A power cut before the verdict costs the trial: it had one try. All else goes on.
				if (state == wire.Trying || state == wire.Rebooting) && cut && end.State == wire.RolledBack {
					u.wantEvents("downloading installing rebooting trying rolled_back(boot_failed)")
					u.wantRunning(boot.A, "1.0.0", image(1))
					return
				}
				u.wantEvents(goodWay)
				u.wantRunning(boot.B, "1.1.0", image(2))
			})
		}
	}
}

// killAt lives until the agent says that it is in state, and ends it there and then.
func (u *unit) killAt(state wire.State) bool {
	u.t.Helper()
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		seen := false
		u.meddle = func(_ int, o *agent.Options) {
			o.Notify.Status = func(line string) {
				if word, _, _ := strings.Cut(line, " "); strings.TrimSuffix(word, ",") == string(state) {
					seen = true
					cancel()
				}
			}
			// The trial waits, so that it can be killed; the others are caught in passing.
			if state == wire.Trying {
				o.Health = []health.Check{{Name: "slow", Run: func(ctx context.Context) error {
					<-ctx.Done()
					return context.Cause(ctx)
				}}}
			}
		}
		err := u.agent().Run(ctx)
		cancel()
		u.meddle = nil
		if seen {
			return true
		}
		if !errors.Is(err, agent.ErrReboot) {
			u.t.Fatalf("the agent ended: %v", err)
		}
		u.power()
	}
	return false
}

// TestErrorInEveryState lets one thing fail in each state.
func TestErrorInEveryState(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(*bootFault)
		want string
		slot boot.Slot
	}{
		{"forbid fails once", func(b *bootFault) { b.forbid = 1 }, "downloading failed(io)", boot.A},
		{"try fails once", func(b *bootFault) { b.try = 1 }, goodWay, boot.B},
		{"commit fails once", func(b *bootFault) { b.commit = 1 }, goodWay, boot.B},
		{"commit fails always", func(b *bootFault) { b.commit = 99 }, "downloading installing rebooting trying rolled_back(boot_failed)", boot.A},
		{"state fails once", func(b *bootFault) { b.state = 1 }, goodWay, boot.B},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			u := newUnit(t, site)
			u.enroll()
			fault := &bootFault{}
			u.meddle = func(_ int, o *agent.Options) {
				fault.Bootloader = o.Boot
				o.Boot = fault
			}
			tt.wrap(fault)
			u.untilEnd(site.Direct(u.id, "1.1.0", nil))
			u.wantEvents(tt.want)
			fault.state = 0
			u.wantRunning(tt.slot, map[boot.Slot]string{boot.A: "1.0.0", boot.B: "1.1.0"}[tt.slot], image(map[boot.Slot]uint64{boot.A: 1, boot.B: 2}[tt.slot]))
		})
	}
}

// bootFault is a bootloader whose acts fail as often as the fields say.
type bootFault struct {
	boot.Bootloader
	forbid, try, commit, state int
}

var errBoot = errors.New("input/output error (test)")

func fails(n *int) bool {
	*n--
	return *n >= 0
}

func (b *bootFault) Forbid(s boot.Slot) error {
	if fails(&b.forbid) {
		return errBoot
	}
	return b.Bootloader.Forbid(s)
}

func (b *bootFault) Try(s boot.Slot) error {
	if fails(&b.try) {
		return errBoot
	}
	return b.Bootloader.Try(s)
}

func (b *bootFault) Commit(s boot.Slot) error {
	if fails(&b.commit) {
		return errBoot
	}
	return b.Bootloader.Commit(s)
}

func (b *bootFault) State() (boot.State, error) {
	if fails(&b.state) {
		return boot.State{}, errBoot
	}
	return b.Bootloader.State()
}

// TestStateLostInTrial: only the bootloader and the record know of the update.
func TestStateLostInTrial(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", nil)
	if !u.killAt(wire.Trying) {
		t.Fatal("no trial")
	}
	for _, name := range []string{"state.0", "state.1"} {
		write(t, u.path("state/"+name), []byte("rot"))
	}
	end := u.untilEnd(update)
	if end.State != wire.Committed {
		t.Errorf("ended as %+v", end)
	}
	u.wantRunning(boot.B, "1.1.0", image(2))
	if s := u.status(); s.Floor != 2 {
		t.Errorf("floor %d", s.Floor)
	}
}

// TestFloorOutlivesState: a device that forgets everything but its record does not go back.
func TestFloorOutlivesState(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	site.Release("0.9.0", 1, artifact(3), nil)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	for _, name := range []string{"state.0", "state.1"} {
		write(t, u.path("state/"+name), nil)
	}
	end := u.untilEnd(site.Direct(u.id, "0.9.0", nil))
	if end.Reason != string(agent.OlderRelease) {
		t.Errorf("ended as %+v", end)
	}
	u.wantRunning(boot.B, "1.1.0", image(2))
}

// TestBootStateLost: the slot that runs is proved by running, and is committed.
func TestBootStateLost(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	for _, name := range []string{"boot.0", "boot.1"} {
		write(t, u.path("boot/"+name), []byte("rot"))
	}
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents(goodWay)
	u.wantRunning(boot.B, "1.1.0", image(2))
}

// TestExpiryDoesNotHoldUpTheVerdict: once the slot was verified no metadata is asked for, by
// the commit or by the rollback.
func TestExpiryDoesNotHoldUpTheVerdict(t *testing.T) {
	for _, good := range []bool{true, false} {
		t.Run(fmt.Sprintf("good=%v", good), func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			u := newUnit(t, site)
			u.enroll()
			update := site.Direct(u.id, "1.1.0", nil)
			if !u.killAt(wire.Rebooting) {
				t.Fatal("no reboot")
			}
			later := time.Now().AddDate(3, 0, 0)
			u.clock = func() time.Time { return later }
			u.health = func(slot string) error {
				if slot == "b" && !good {
					return errors.New("no")
				}
				return nil
			}
			end := u.untilEnd(update)
			if (end.State == wire.Committed) != good {
				t.Errorf("ended as %+v", end)
			}
			if slices.Contains(u.events(), "rejected(expired)") {
				t.Errorf("%v", u.events())
			}
		})
	}
}

// TestStateFolderGoneInTrial: a release that does not let the agent have its state folder is
// given up.
func TestStateFolderGoneInTrial(t *testing.T) {
	for name, spoil := range map[string]func(u *unit) error{
		"a file in its place": func(u *unit) error { return os.WriteFile(u.cfg.State, nil, 0o600) },
		"not mounted":         func(*unit) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			u := newUnit(t, site)
			u.enroll()
			update := site.Direct(u.id, "1.1.0", nil)
			if !u.killAt(wire.Trying) {
				t.Fatal("no trial")
			}
			saved := u.path("saved")
			if err := errors.Join(os.Rename(u.cfg.State, saved), spoil(u)); err != nil {
				t.Fatal(err)
			}
			if err := u.agent().Run(context.Background()); !errors.Is(err, agent.ErrReboot) {
				t.Fatalf("in the trial: %v", err)
			}
			if slot := u.power(); slot != boot.A {
				t.Fatalf("slot %s was started", slot)
			}
			if err := errors.Join(os.RemoveAll(u.cfg.State), os.Rename(saved, u.cfg.State)); err != nil {
				t.Fatal(err)
			}
			u.untilEnd(update)
			u.wantEvents("downloading installing rebooting trying rolled_back(boot_failed)")
			u.wantRunning(boot.A, "1.0.0", image(1))
		})
	}
}

// TestRolledBackIsRemembered: a bad release is not tried again because the state was lost.
func TestRolledBackIsRemembered(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	u.health = func(slot string) error {
		if slot == "b" {
			return errors.New("no")
		}
		return nil
	}
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	for _, name := range []string{"state.0", "state.1"} {
		write(t, u.path("state/"+name), nil)
	}
	u.quiet()
	u.wantRunning(boot.A, "1.0.0", image(1))
}
