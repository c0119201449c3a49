package agent_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// TestSuperseded: a new direction ends the download under way.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"1.2.0", ""} {
		t.Run("by "+other, func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			site.Release("1.2.0", 3, artifact(3), nil)
			u := newUnit(t, site)
			u.enroll()
			first := site.Direct(u.id, "1.1.0", nil)
			var second atomic.Pointer[string]
			u.meddle = func(_ int, o *agent.Options) {
				o.Progress = func(install.Progress) {
					if second.Load() == nil {
						id := site.Direct(u.id, other, nil)
						second.Store(&id)
					}
					time.Sleep(30 * time.Millisecond) // a slow slot: the poll finds the new direction meanwhile
				}
			}
			end := u.untilEnd(first)
			if end.Reason != string(agent.Superseded) {
				t.Errorf("the first ended as %+v", end)
			}
			if other == "" {
				u.quiet()
				u.wantRunning(boot.A, "1.0.0", image(1))
				return
			}
			u.untilEnd(*second.Load())
			u.wantRunning(boot.B, "1.2.0", image(3))
		})
	}
}

// TestDirectionWaitsForTrial: what is directed during a trial is begun after it.
func TestDirectionWaitsForTrial(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	site.Release("1.2.0", 3, artifact(3), nil)
	u := newUnit(t, site)
	u.enroll()
	first := site.Direct(u.id, "1.1.0", nil)
	second := ""
	u.health = func(slot string) error {
		if slot == "b" && second == "" {
			second = site.Direct(u.id, "1.2.0", nil)
		}
		return nil
	}
	if end := u.untilEnd(first); end.State != wire.Committed {
		t.Errorf("the first ended as %+v", end)
	}
	u.untilEnd(second)
	u.wantEvents(goodWay + " " + goodWay)
	u.wantRunning(boot.A, "1.2.0", image(3))
}

// TestServiceOutOfReach: a release that cuts the device off is not kept.
func TestServiceOutOfReach(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	u.cfg.Health.Deadline = agent.Duration(time.Second)
	u.meddle = func(boots int, o *agent.Options) {
		if b, _ := u.boot.State(); b.Running == boot.B {
			o.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no route to host (test)")
			}
		}
	}
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents("downloading installing rebooting trying rolled_back(health)")
	if !strings.Contains(end.Detail, "was reached before the update and is not now") {
		t.Errorf("detail: %s", end.Detail)
	}
	u.wantRunning(boot.A, "1.0.0", image(1))
}

// TestOutage: an update survives a network that comes and goes, and says nothing of it.
func TestOutage(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	u.meddle = func(_ int, o *agent.Options) { o.Retry.Attempts = 100 }
	var blobs, others atomic.Int32
	site.Spoil(func(_ string, b []byte) []byte {
		if blobs.Add(1)%3 == 1 {
			return nil
		}
		return b
	})
	site.Repo.Hook(func(name string) *tuftest.Response {
		if others.Add(1)%5 == 1 {
			return &tuftest.Response{Status: 502}
		}
		return nil
	})
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents(goodWay)
}

// TestRenewedDirection: one that expired before it could be carried out is carried out when
// the director issues it anew.
func TestRenewedDirection(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	late := time.Now().Add(time.Second).UTC().Truncate(time.Second).Add(time.Second)
	var down atomic.Bool
	down.Store(true)
	site.Repo.Hook(func(name string) *tuftest.Response {
		if down.Load() {
			return &tuftest.Response{Status: 503}
		}
		return nil
	})
	u.meddle = func(_ int, o *agent.Options) { o.Retry.Attempts = 1000 }
	update := site.Direct(u.id, "1.1.0", func(d *direction.Direction) { d.Expires = late })
	u.until(func() bool { return time.Now().After(late) && len(u.events()) == 1 })
	down.Store(false)
	u.until(func() bool { s := u.status(); return s.Trouble != nil && s.Trouble.Reason == agent.Expired })
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { d.Update = update })
	u.untilEnd(update)
	u.wantEvents(goodWay)
}

// TestClocks: a clock at 1970 does not keep a device from its update; one at 2099 does, and
// says so, until it is set right.
func TestClocks(t *testing.T) {
	t.Parallel()
	t.Run("1970", func(t *testing.T) {
		t.Parallel()
		site := newSite(t)
		release(nil)(site)
		u := newUnit(t, site)
		u.clock = func() time.Time { return time.Unix(7, 0) }
		u.meddle = func(_ int, o *agent.Options) { o.BuildTime = time.Now().Add(-time.Hour) }
		u.enroll()
		u.untilEnd(site.Direct(u.id, "1.1.0", nil))
		u.wantEvents(goodWay)
	})
	t.Run("2099", func(t *testing.T) {
		t.Parallel()
		site := newSite(t)
		release(nil)(site)
		u := newUnit(t, site)
		u.enroll()
		u.clock = func() time.Time { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) }
		u.cfg.Transports = []string{}
		update := site.Direct(u.id, "1.1.0", nil)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		u.live(ctx, func() bool { return len(u.events()) > 0 })
		u.wantEvents("")
		_, err := u.agent().Check(context.Background())
		if r := agent.ReasonOf(err); r != agent.Clock {
			t.Errorf("reason %s: %v", r, err)
		}
		u.clock = time.Now
		u.untilEnd(update)
		u.wantEvents(goodWay)
	})
}

// TestSecondAgent: the state folder belongs to one.
func TestSecondAgent(t *testing.T) {
	t.Parallel()
	u := newUnit(t, newSite(t))
	u.enroll()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	u.meddle = func(_ int, o *agent.Options) { o.Notify.Ready = func() { close(ready) } }
	first := u.agent()
	u.meddle = nil
	go func() { ended <- first.Run(ctx) }()
	<-ready
	second := u.agent()
	if err := second.Run(context.Background()); !errors.Is(err, agent.ErrRunning) {
		t.Errorf("run: %v", err)
	}
	if _, err := second.Install(context.Background(), u.dir, ""); !errors.Is(err, agent.ErrRunning) {
		t.Errorf("install: %v", err)
	}
	if s := u.status(); !s.Running {
		t.Error("status does not see the agent that runs")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a clean stop: %v", err)
	}
	if s := u.status(); s.Running {
		t.Error("status sees an agent that is gone")
	}
}

// TestSwitchedOff: without the cloud connection there is none, and the trial of what was
// installed by hand is judged all the same.
func TestSwitchedOff(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	off := false
	u.cfg.Enabled = &off
	dialled := false
	u.meddle = func(_ int, o *agent.Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			dialled = true
			return nil, errors.New("no")
		}
	}
	folder := u.path("repository")
	site.WriteFolder(folder)
	out, err := u.agent().Install(context.Background(), folder, "")
	if !errors.Is(err, agent.ErrReboot) || out.State != wire.Rebooting {
		t.Fatalf("%+v, %v", out, err)
	}
	if slot := u.power(); slot != boot.B {
		t.Fatalf("slot %s was started", slot)
	}
	u.until(func() bool { return u.status().State == wire.Committed })
	u.wantRunning(boot.B, "1.1.0", image(2))
	if dialled {
		t.Error("a connection was made")
	}
}

// TestZeroTouch: a claim token in the configuration enrols the device.
func TestZeroTouch(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	if err := u.agent().Run(context.Background()); !errors.Is(err, agent.ErrNotEnrolled) {
		t.Errorf("without a claim: %v", err)
	}
	u.cfg.ClaimFile = u.path("claim")
	write(t, u.cfg.ClaimFile, []byte(agenttest.Claim+"\n"))
	u.until(func() bool {
		ids := site.Devices()
		if len(ids) == 1 {
			u.id = ids[0]
		}
		return u.id != "" && site.Reported(u.id).Version == "1.0.0"
	})
	info, err := os.Stat(filepath.Join(u.cfg.State, "device.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
}

// TestRebootThatNeverComes: asked for a few times, then given up.
func TestRebootThatNeverComes(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", nil)
	asked := 0
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		ended := func() bool {
			for _, e := range site.Events(u.id) {
				if e.Update == update && e.State.Final() {
					return true
				}
			}
			return false
		}
		if u.live(ctx, ended) {
			cancel()
			break
		}
		asked++
		cancel()
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	u.wantEvents("downloading installing rebooting failed(boot_failed)")
	u.wantRunning(boot.A, "1.0.0", image(1))
}

// TestHook: the product's own word, with what it printed.
func TestHook(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	if err := os.Mkdir(u.cfg.Health.Hooks, 0o755); err != nil {
		t.Fatal(err)
	}
	hook := filepath.Join(u.cfg.Health.Hooks, "10-picture")
	write(t, hook, []byte("#!/bin/sh\necho no picture on $FAIRLEAD_SLOT with $FAIRLEAD_PRODUCT $FAIRLEAD_VERSION\nexit 7\n"))
	if err := os.Chmod(hook, 0o755); err != nil {
		t.Fatal(err)
	}
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents("downloading installing rebooting trying rolled_back(health)")
	if !strings.Contains(end.Detail, "10-picture: exit status 7: no picture on b with base 1.1.0") {
		t.Errorf("detail: %q", end.Detail)
	}
}

// TestDirectorRotates: a direction under a key that the device does not know yet waits until
// the director's new root can be had; the service does not send it twice.
func TestDirectorRotates(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	site.Director.Rotate("targets")
	site.Director.Publish("root")
	var asked atomic.Int32
	site.Director.Hook(func(string) *tuftest.Response {
		if asked.Add(1) < 4 {
			return &tuftest.Response{Status: 503}
		}
		return nil
	})
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents(goodWay)
	if asked.Load() < 4 {
		t.Errorf("the root was asked for %d times: the test shows nothing", asked.Load())
	}
}

// TestForeignDirection: what is not signed, not for this device, or old is not obeyed.
func TestForeignDirection(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	for name, edit := range map[string]func(*direction.Direction){
		"another device": func(d *direction.Direction) { d.Device = "9f0c" },
		"another tenant": func(d *direction.Direction) { d.Tenant = "evil" },
		"expired":        func(d *direction.Direction) { d.Expires = time.Unix(1000, 0).UTC() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUnit(t, site)
			u.enroll()
			site.Direct(u.id, "1.1.0", edit)
			u.until(func() bool { s := u.status(); return s.Trouble != nil })
			u.wantEvents("")
		})
	}
}
