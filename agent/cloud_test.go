package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// offline is an order to go offline.
func offline(order string) func(*direction.Direction) {
	return func(d *direction.Direction) { d.Offline, d.Update = true, order }
}

// watched counts the connections that a unit tries to make.
func (u *unit) watched() *atomic.Int32 {
	var dials atomic.Int32
	u.meddle = func(_ int, o *agent.Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	return &dials
}

// still lives for a while and wants no connection.
func (u *unit) still(dials *atomic.Int32) {
	u.t.Helper()
	before := dials.Load()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if u.live(ctx, func() bool { return dials.Load() > before }) && dials.Load() > before {
		u.t.Error("a connection was made")
	}
}

// TestDirectorSwitchesOff: the order is signed, and is obeyed for good; only at the device it is
// undone, and then not by the same order again.
func TestDirectorSwitchesOff(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	dials := u.watched()
	u.enroll()
	order := uuid.NewString()
	site.Direct(u.id, "", offline(order))
	last := 0
	var since time.Time
	u.until(func() bool { // without a start between
		if n := site.Requests(u.id); n != last || !u.status().Offline {
			last, since = n, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
	if !site.Reported(u.id).Offline || u.boots != 1 {
		t.Errorf("the last word was %+v", site.Reported(u.id))
	}
	if s := u.status(); s.Enabled {
		t.Errorf("status: %+v", s)
	}
	u.power()
	u.still(dials)
	site.Direct(u.id, "1.1.0", nil)
	u.still(dials)
	u.wantEvents("")
	if _, err := u.agent().Check(context.Background()); !errors.Is(err, agent.ErrNotEnrolled) {
		t.Errorf("check: %v", err)
	}

	site.Direct(u.id, "", offline(order)) // issued anew, with another version
	if err := u.agent().Online(); err != nil {
		t.Fatal(err)
	}
	if err := u.agent().Online(); !errors.Is(err, agent.ErrNothing) {
		t.Errorf("twice: %v", err)
	}
	u.until(func() bool { r := site.Reported(u.id); return r.Direction == 3 && !r.Offline })
	u.quiet()
	if s := u.status(); s.Offline || !s.Enabled {
		t.Errorf("the same order was obeyed twice: %+v", s)
	}
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents(goodWay)
	site.Direct(u.id, "", offline(uuid.NewString()))
	u.until(func() bool { return u.status().Offline })
}

// TestSwitchedOffInTheDownload: what is under way is given up, and the slot is resumed later.
func TestSwitchedOffInTheDownload(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	dials := u.watched()
	u.enroll()
	u.cfg.Rate = 30_000
	first := site.Direct(u.id, "1.1.0", nil)
	u.untilEvent("downloading")
	u.until(func() bool { return site.Reported(u.id).State == wire.Downloading })
	site.Direct(u.id, "", offline(uuid.NewString()))
	u.until(func() bool {
		s := u.status()
		return s.Offline && s.State == wire.Failed && s.Reason == agent.Superseded && s.Update == first
	})
	u.still(dials)
	u.wantRunning(boot.A, "1.0.0", image(1))
}

// TestSwitchedOffInTheTrial: the trial is judged all the same.
func TestSwitchedOffInTheTrial(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	u.health = func(slot string) error {
		if slot == "b" {
			site.Direct(u.id, "", offline(uuid.NewString()))
		}
		for deadline := time.Now().Add(5 * time.Second); slot == "b" && !u.status().Offline; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("was not switched off")
			}
		}
		return nil
	}
	site.Direct(u.id, "1.1.0", nil)
	u.until(func() bool { return u.status().State == wire.Committed })
	u.wantRunning(boot.B, "1.1.0", image(2))
}

// TestForeignOrder: nobody else switches a device off.
func TestForeignOrder(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	u := newUnit(t, site)
	u.enroll()
	site.Direct(u.id, "", func(d *direction.Direction) { offline(uuid.NewString())(d); d.Device = "9f0c" })
	u.until(func() bool { return u.status().Trouble != nil })
	if s := u.status(); s.Offline {
		t.Errorf("%+v", s)
	}
}

// TestNoConnectionAtAll: an agent that is switched off, by the configuration or by the director,
// asks no name server and opens no socket, in its own ways or in the standard library's.
// It is not parallel: it listens in at the process's resolver and at its table of sockets.
func TestNoConnectionAtAll(t *testing.T) {
	var asked atomic.Int32
	resolver, proxy := net.DefaultResolver, http.DefaultTransport
	defer func() { net.DefaultResolver, http.DefaultTransport = resolver, proxy }()
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		asked.Add(1)
		return nil, errors.New("no network (test)")
	}}
	site := newSite(t)
	release(nil)(site)
	for name, off := range map[string]func(u *unit){
		"nobody":            func(*unit) {},
		"the configuration": func(u *unit) { no := false; u.cfg.Enabled = &no },
		"the director": func(u *unit) {
			site.Direct(u.id, "", offline(uuid.NewString()))
			u.until(func() bool { return u.status().Offline })
		},
	} {
		u := newUnit(t, site)
		u.enroll()
		off(u)
		u.cfg.Service, u.cfg.Transports = "https://updates.fairlead.test", nil // and the dialer of real devices
		u.cfg.ClaimFile = u.path("claim")
		write(t, u.cfg.ClaimFile, []byte(agenttest.Claim))
		asked.Store(0)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		before := sockets(t)
		most := 0
		u.live(ctx, func() bool { most = max(most, sockets(t)-before); return false })
		cancel()
		if on := name == "nobody"; (asked.Load() > 0) != on {
			t.Errorf("switched off by %s: %d names were asked for", name, asked.Load())
		} else if !on && most > 0 {
			t.Errorf("switched off by %s: %d sockets", name, most)
		}
	}
}

// sockets that this process has open.
func sockets(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd.Name())); err == nil && len(to) > 7 && to[:7] == "socket:" {
			n++
		}
	}
	return n
}
