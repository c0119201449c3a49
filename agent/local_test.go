package agent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
)

// deaf is a bootloader that takes no trial.
type deaf struct{ *boot.File }

func (deaf) Try(boot.Slot) error { return errors.New("input/output error") }

// TestInstalledAndTheBootloaderNotTold: where it ended after the slot was verified and before the bootloader was told, the
// next Install tells it. It used to say that a reboot was all that was missing, as often as it was asked, and no reboot helped.
func TestInstalledAndTheBootloaderNotTold(t *testing.T) {
	for _, rot := range []bool{false, true} {
		site := newSite(t)
		site.Release("1.1.0", 2, agenttest.Encode(image(2)), nil)
		u := newUnit(t, site)
		site.WriteFolder(u.path("repo"))
		u.meddle = func(_ int, o *agent.Options) { o.Boot = deaf{u.boot} }
		if o, err := u.agent().Install(context.Background(), u.path("repo"), ""); err == nil || errors.Is(err, agent.ErrReboot) || o.State != wire.Rebooting {
			t.Fatalf("a bootloader that is not told: %+v, %v", o, err)
		}
		u.meddle = nil
		if rot {
			b, err := os.ReadFile(u.cfg.Slots.B)
			if err != nil {
				t.Fatal(err)
			}
			b[100_000] ^= 1
			write(t, u.cfg.Slots.B, b)
		}
		if o, err := u.agent().Install(context.Background(), u.path("repo"), ""); !errors.Is(err, agent.ErrReboot) || o.State != wire.Rebooting {
			t.Fatalf("again: %+v, %v", o, err)
		}
		if s, err := u.boot.State(); err != nil || s.Trial != boot.B {
			t.Errorf("a reboot is said to be all that is missing, and the bootloader has %+v (%v)", s, err)
		}
		if b, err := os.ReadFile(u.cfg.Slots.B); err != nil || !bytes.HasPrefix(b, image(2)) {
			t.Errorf("slot b does not hold the image (%v)", err)
		}
	}
}
