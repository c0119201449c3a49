package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// commanded is a unit that is connected by MQTT and lives until the test ends.
func commanded(t *testing.T, setup func(u *unit)) *unit {
	t.Helper()
	site := newSite(t)
	release(nil)(site)
	stop := site.StartMQTT()
	u := newUnit(t, site)
	u.cfg.Transports = []string{wire.TransportMQTTS}
	u.enroll()
	setup(u)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	a := u.agent()
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, agent.ErrReboot) {
			t.Errorf("the agent ended: %v", err)
		}
		stop()
	})
	u.when("connected by MQTT", func() bool {
		l := site.Reported(u.id).Link
		return l != nil && l.Transport == wire.TransportMQTTS
	})
	return u
}

// when waits until ok, for a unit that lives by itself.
func (u *unit) when(what string, ok func() bool) {
	u.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("waited in vain: %s: %v, %+v", what, u.events(), u.status())
		}
	}
}

// cmd sends a command and waits for its answer.
func (u *unit) cmd(id, name string) wire.Reply {
	u.t.Helper()
	before := len(u.site.Replies())
	u.site.Cmd(u.id, wire.Cmd{Schema: 1, ID: id, Name: name, Expires: time.Now().Add(time.Minute).UTC()})
	u.when("answer to "+name, func() bool { return len(u.site.Replies()) > before })
	r := u.site.Replies()[before]
	if r.ID != id {
		u.t.Errorf("answer %+v to command %s", r, id)
	}
	return r
}

// TestCommands: each is answered, and does what it says.
func TestCommands(t *testing.T) {
	t.Parallel()
	u := commanded(t, func(u *unit) {})
	if r := u.cmd("1", wire.CmdPing); !r.OK {
		t.Errorf("ping: %+v", r)
	}
	if r := u.cmd("2", "self-destruct"); r.OK || r.Detail == "" {
		t.Errorf("unknown: %+v", r)
	}
	reports := u.site.Reports(u.id)
	u.cmd("3", wire.CmdReportNow)
	u.when("report", func() bool { return u.site.Reports(u.id) > reports })
	// One that comes again is answered again, and not done again.
	reports = u.site.Reports(u.id)
	u.cmd("3", wire.CmdReportNow)
	u.cmd("4", wire.CmdPing)
	if n := u.site.Reports(u.id); n != reports {
		t.Errorf("a command that came twice was done twice: %d reports, then %d", reports, n)
	}
	// The direction is nowhere but at the service's HTTPS port.
	update := u.site.Direct(u.id, "1.1.0", kind(direction.DownloadOnly))
	u.cmd("5", wire.CmdCheck)
	u.when("staged", func() bool { return u.last(update).State == wire.Staged })
	if r := u.site.Replies(); slices.ContainsFunc(r, func(r wire.Reply) bool { return !r.OK && r.ID != "2" }) {
		t.Errorf("replies: %+v", r)
	}
}

// TestCheckDoesNotWait: check also tries again what has failed and waits for its turn.
func TestCheckDoesNotWait(t *testing.T) {
	t.Parallel()
	u := commanded(t, func(u *unit) {
		u.meddle = func(_ int, o *agent.Options) { o.Retry = agent.Retry{Min: time.Hour, Max: time.Hour, Attempts: 5} }
		fresh := u.site.Repo.Timestamp.Signed.Expires
		u.site.Repo.Timestamp.Signed.Expires = in(-time.Hour)
		u.site.Repo.Publish(metadata.TIMESTAMP)
		u.site.Repo.Timestamp.Signed.Expires = fresh
		u.site.Direct(u.id, "1.1.0", kind(direction.DownloadOnly))
	})
	u.when("trouble", func() bool { s := u.status(); return s.Trouble != nil && s.Trouble.Reason == agent.Expired })
	u.site.Repo.Publish(metadata.TIMESTAMP)
	u.cmd("1", wire.CmdCheck)
	u.untilStaged()
}

func (u *unit) untilStaged() {
	u.t.Helper()
	u.when("staged", func() bool { return u.site.Reported(u.id).State == wire.Staged })
}

// TestPauseHoldsTheDownload: nothing more is fetched until the word to go on.
func TestPauseHoldsTheDownload(t *testing.T) {
	t.Parallel()
	var done atomic.Int64
	var reached = make(chan struct{})
	u := commanded(t, func(u *unit) {
		u.cfg.Rate = 40_000
		u.meddle = func(_ int, o *agent.Options) {
			o.Progress = func(p install.Progress) {
				if done.Swap(p.Fetched) == 0 && p.Fetched > 0 {
					close(reached)
				}
			}
		}
		u.site.Direct(u.id, "1.1.0", kind(direction.DownloadOnly))
	})
	<-reached
	u.cmd("1", wire.CmdPause)
	var at int64
	u.when("stand still", func() bool {
		was := at
		at = done.Load()
		time.Sleep(100 * time.Millisecond)
		return was == at && at == done.Load()
	})
	if u.site.Reported(u.id).State == wire.Staged {
		t.Fatal("all of it was fetched before the pause: the test shows nothing")
	}
	u.cmd("2", wire.CmdResume)
	u.untilStaged()
	u.when("[downloading installing staged]", func() bool { return fmt.Sprint(u.events()) == "[downloading installing staged]" })
}
