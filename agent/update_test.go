package agent_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
)

func TestMain(m *testing.M) {
	if strings.HasPrefix(os.TempDir(), "/dev/") {
		os.Setenv("TMPDIR", "/var/tmp") // below /dev, no file is made for a slot
	}
	goleak.VerifyTestMain(m)
}

func newSite(t *testing.T) *agenttest.Site {
	s := agenttest.New(time.Now().Add(48 * time.Hour))
	t.Cleanup(s.Close)
	return s
}

const goodWay = "downloading installing rebooting trying committed"

func TestGoodUpdate(t *testing.T) {
	site := newSite(t)
	img := image(2)
	site.Release("1.1.0", 2, artifact(2), nil)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", nil)
	end := u.untilEnd(update)
	u.wantEvents(goodWay)
	u.wantRunning(boot.B, "1.1.0", img)
	if end.From != "1.0.0" || end.To != "1.1.0" || end.Fetched == 0 || end.Written == 0 || end.Detail != "" {
		t.Errorf("event: %+v", end)
	}
	if s := u.status(); s.Floor != 2 || s.Trouble != nil {
		t.Errorf("status: %+v", s)
	}
	if r := site.Reported(u.id); r.Version != "1.1.0" || r.Counter != 2 || r.Slot != "b" || r.State != "committed" {
		t.Errorf("reported: %+v", r)
	}
}

// A release that is in beta is nothing for a stable device, whatever the director says; promoted, it is installed as it is.
func TestPromotedReleaseIsTaken(t *testing.T) {
	site := newSite(t)
	site.Release("1.1.0", 2, artifact(2), nil)
	site.Channels(map[string]any{"1.1.0": "beta"})
	u := newUnit(t, site)
	u.enroll()
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	if end.State != wire.Rejected || end.Reason != string(agent.WrongChannel) {
		t.Fatalf("in beta: %+v", end)
	}
	site.Channels(nil)
	end = u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	if end.State != wire.Committed {
		t.Fatalf("promoted: %+v", end)
	}
	u.wantRunning(boot.B, "1.1.0", image(2))
}

func TestBadHealthRollsBack(t *testing.T) {
	site := newSite(t)
	site.Release("1.1.0", 2, artifact(2), nil)
	u := newUnit(t, site)
	u.enroll()
	u.health = func(slot string) error {
		if slot == "b" {
			return errors.New("no picture on HDMI 2")
		}
		return nil
	}
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents("downloading installing rebooting trying rolled_back(health)")
	u.wantRunning(boot.A, "1.0.0", image(1))
	if end.Detail != "product: no picture on HDMI 2" {
		t.Errorf("detail: %q", end.Detail)
	}
	if s := u.status(); s.Floor != 1 {
		t.Errorf("floor %d", s.Floor)
	}
}

// TestRefused: what must not be installed is refused with its reason, and the device is as it was.
func TestRefused(t *testing.T) {
	big := append(image(2), make([]byte, 8<<20)...)
	for _, tt := range []struct {
		name  string
		site  func(s *agenttest.Site) // publishes 1.1.0
		unit  func(u *unit)
		edit  func(d *direction.Direction)
		state wire.State
		want  agent.Reason
	}{
		{name: "release for other hardware", want: agent.WrongHardware, state: wire.Rejected,
			site: release(func(m *firmware.Manifest) { m.Hardware = []string{"gw-7"} })},
		{name: "direction for other hardware", want: agent.WrongHardware, state: wire.Rejected,
			site: release(nil), edit: func(d *direction.Direction) { d.Hardware = "gw-7" }},
		{name: "older release", want: agent.OlderRelease, state: wire.Rejected,
			site: release(nil), unit: func(u *unit) { u.cfg.Factory.Counter = 9 }},
		{name: "agent too old", want: agent.AgentTooOld, state: wire.Rejected,
			site: release(func(m *firmware.Manifest) { m.MinAgent = "2.0.0" })},
		{name: "slot too small", want: agent.SlotTooSmall, state: wire.Rejected,
			site: func(s *agenttest.Site) { s.Release("1.1.0", 2, agenttest.Encode(big), nil) }},
		{name: "no space", want: agent.NoSpace, state: wire.Failed,
			site: release(nil), unit: func(u *unit) { u.slots(func(d *slotFault) { d.reserve = install.ErrNoSpace }) }},
		{name: "slot does not take bytes", want: agent.IO, state: wire.Failed,
			site: release(nil), unit: func(u *unit) { u.slots(func(d *slotFault) { d.write = syscall.EIO }) }},
		{name: "slot does not keep bytes", want: agent.Corrupt, state: wire.Failed,
			site: release(nil), unit: func(u *unit) { u.slots(func(d *slotFault) { d.flip = true }) }},
		{name: "tampered artifact", want: agent.Corrupt, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Spoil(func(_ string, b []byte) []byte { b[len(b)-1000] ^= 1; return b })
			}},
		{name: "truncated artifact", want: agent.Unavailable, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Spoil(func(_ string, b []byte) []byte { return b[:len(b)/2] })
			}},
		{name: "no artifact", want: agent.Unavailable, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Spoil(func(string, []byte) []byte { return nil })
			}},
		{name: "tampered manifest", want: agent.Corrupt, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.SpoilManifest("1.1.0", func(b []byte) { b[len(b)/2] ^= 1 })
			}},
		{name: "metadata signed by somebody else", want: agent.Signature, state: wire.Rejected,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Repo.Keys[metadata.TIMESTAMP] = []tuftest.Key{tuftest.NewKey("ed25519")}
				s.Repo.Publish(metadata.TIMESTAMP)
			}},
		{name: "not in the log that the policy names", want: agent.NotLogged, state: wire.Rejected,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Repo.AddTarget(metadata.TARGETS, tlog.PolicyPath, []byte(tlogtest.New(t, "fw.example.com/releases", 0).Policy(0)))
				s.Repo.PublishAll()
			}},
		{name: "expired metadata", want: agent.Expired, state: wire.Rejected,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Repo.Timestamp.Signed.Expires = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
				s.Repo.Publish(metadata.TIMESTAMP)
			}},
		{name: "captive portal", want: agent.CaptivePortal, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Repo.Hook(func(name string) *tuftest.Response {
					return &tuftest.Response{Status: 511, Body: []byte("<html>log in</html>")}
				})
			}},
		{name: "repository gone", want: agent.Unavailable, state: wire.Failed,
			site: func(s *agenttest.Site) {
				release(nil)(s)
				s.Repo.Hook(func(name string) *tuftest.Response { return &tuftest.Response{Status: 503} })
			}},
		{name: "director and repository disagree", want: agent.Disagree, state: wire.Rejected,
			site: release(nil), edit: func(d *direction.Direction) { d.Target.SHA256[0] ^= 1 }},
		{name: "unknown release", want: agent.NoTarget, state: wire.Rejected,
			site: release(nil), edit: func(d *direction.Direction) { d.Target.Path = "base/7.json" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			tt.site(site)
			u := newUnit(t, site)
			if tt.unit != nil {
				tt.unit(u)
			}
			u.enroll()
			end := u.untilEnd(site.Direct(u.id, "1.1.0", tt.edit))
			if end.State != tt.state || end.Reason != string(tt.want) {
				t.Errorf("ended as %s (%s): %s\nwant %s (%s)", end.State, end.Reason, end.Detail, tt.state, tt.want)
			}
			if len(end.Detail) < 10 {
				t.Errorf("detail says nothing: %q", end.Detail)
			}
			u.wantRunning(boot.A, "1.0.0", image(1))
			if u.boots != 1 {
				t.Errorf("%d boots", u.boots)
			}
			u.quiet()
		})
	}
}

// quiet: an update that has ended is not begun again, also not after a restart.
func (u *unit) quiet() {
	u.t.Helper()
	before := len(u.events())
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	u.live(ctx, func() bool { return len(u.events()) > before })
	if now := u.events(); len(now) != before {
		u.t.Errorf("events after the end: %v", now[before:])
	}
}

// release publishes 1.1.0.
func release(edit func(*firmware.Manifest)) func(*agenttest.Site) {
	return func(s *agenttest.Site) { s.Release("1.1.0", 2, artifact(2), edit) }
}

// slotFault is a slot that fails as a real one may.
type slotFault struct {
	install.Device
	reserve, write error
	flip           bool
}

func (d *slotFault) Reserve(n int64, data []install.Extent) error {
	if d.reserve != nil {
		return d.reserve
	}
	return d.Device.Reserve(n, data)
}

func (d *slotFault) WriteAt(p []byte, at int64) (int, error) {
	if d.write != nil {
		return 0, d.write
	}
	return d.Device.WriteAt(p, at)
}

func (d *slotFault) ReadAt(p []byte, at int64) (int, error) {
	n, err := d.Device.ReadAt(p, at)
	if d.flip && n > 100 && at > 50_000 {
		p[50] ^= 0x10
	}
	return n, err
}

// slots lets every slot that is opened fail as set says.
func (u *unit) slots(set func(*slotFault)) {
	u.meddle = func(_ int, o *agent.Options) {
		o.OpenSlot = func(path string, so install.SlotOptions) (install.Device, error) {
			d, err := install.OpenSlot(path, so)
			if err != nil {
				return nil, err
			}
			f := &slotFault{Device: d}
			set(f)
			return f, nil
		}
	}
}
