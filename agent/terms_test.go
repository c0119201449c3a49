package agent_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// timed gives a unit a clock that the test can put forward and back.
func (u *unit) timed() (jump func(time.Duration)) {
	var offset atomic.Int64
	u.clock = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	return func(d time.Duration) { offset.Add(int64(d)) }
}

// in is a moment as directions have them.
func in(d time.Duration) time.Time { return time.Now().Add(d).UTC().Truncate(time.Second) }

func kind(k direction.Kind) func(*direction.Direction) {
	return func(d *direction.Direction) { d.Kind = k }
}

func soft(until time.Duration) func(*direction.Direction) {
	return func(d *direction.Direction) { d.Kind, d.DeferUntil = direction.Soft, in(until) }
}

func window(until time.Duration) func(*direction.Direction) {
	return func(d *direction.Direction) { d.Until = in(until) }
}

// untilEvent lives until the last event that the service heard of is in these words.
func (u *unit) untilEvent(last string) {
	u.t.Helper()
	u.until(func() bool {
		all := u.events()
		return len(all) > 0 && all[len(all)-1] == last
	})
}

// untilWait lives until the service knows that the device waits, and for what.
func (u *unit) untilWait(update, what string) wire.Wait {
	u.t.Helper()
	var w wire.Wait
	u.until(func() bool {
		if got := u.site.Reported(u.id).Wait; got != nil {
			w = *got
		}
		return w.Update == update && w.For == what
	})
	if s := u.status(); s.Wait == nil || *s.Wait != w {
		u.t.Errorf("the service knows of %+v, status says %+v", w, s.Wait)
	}
	return w
}

func (u *unit) answer(say wire.Say, later time.Duration) agent.Question {
	u.t.Helper()
	q, err := u.agent().Answer(say, later)
	if err != nil {
		u.t.Fatal(err)
	}
	return q
}

// asleep: the device does nothing more.
func (u *unit) asleep() {
	u.t.Helper()
	boots := u.boots
	u.quiet()
	if u.boots != boots {
		u.t.Errorf("%d boots more", u.boots-boots)
	}
}

// last is the newest event of an update.
func (u *unit) last(update string) (e wire.Event) {
	for _, e2 := range u.site.Events(u.id) {
		if e2.Update == update {
			e = e2
		}
	}
	return e
}

func (u *unit) wantStaged(version string) {
	u.t.Helper()
	s, r := u.status(), u.site.Reported(u.id)
	if b := s.Slots[1]; b.Bootable || b.Trial || b.Version != version {
		u.t.Errorf("slot b: %+v", b)
	}
	if r.State != wire.Staged || r.Slots[1].State != "staged" || r.Slots[1].Version != version {
		u.t.Errorf("reported: %+v", r)
	}
	if b, err := u.boot.State(); err != nil || b.Running != boot.A || b.Trial != "" {
		u.t.Errorf("bootloader: %+v, %v", b, err)
	}
}

// TestDownloadOnly: the image is in the slot, verified, and cannot be booted. What installs it
// later fetches nothing of it again, also after a start of the system.
func TestDownloadOnly(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	first := site.Direct(u.id, "1.1.0", kind(direction.DownloadOnly))
	u.untilEvent("staged")
	u.wantEvents("downloading installing staged")
	u.wantStaged("1.1.0")
	u.wantRunning(boot.A, "1.0.0", image(1))
	if e := u.last(first); e.Fetched == 0 || e.Written == 0 {
		t.Errorf("event: %+v", e)
	}
	u.asleep()
	if slot := u.power(); slot != boot.A {
		t.Fatalf("slot %s was started", slot)
	}
	u.asleep()
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents("downloading installing staged " + goodWay)
	u.wantRunning(boot.B, "1.1.0", image(2))
	if end.Fetched != 0 || end.Written != 0 {
		t.Errorf("of what was in the slot %d bytes were fetched, %d written", end.Fetched, end.Written)
	}
}

// TestStagedRots: what was staged is read back before it is booted.
func TestStagedRots(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	site.Direct(u.id, "1.1.0", kind(direction.DownloadOnly))
	u.untilEvent("staged")
	b, err := os.ReadFile(u.cfg.Slots.B)
	if err != nil {
		t.Fatal(err)
	}
	b[70_000] ^= 1
	write(t, u.cfg.Slots.B, b)
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantRunning(boot.B, "1.1.0", image(2))
	if end.Fetched == 0 || end.Written == 0 {
		t.Errorf("rot in the slot was not healed: %+v", end)
	}
}

// TestSoft: downloaded at once, installed when the people say yes.
func TestSoft(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(func(m *firmware.Manifest) { m.Notes = "New: two cameras.\n" })(site)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", soft(time.Hour))
	w := u.untilWait(update, wire.WaitPeople)
	u.wantEvents("downloading installing staged")
	u.wantStaged("1.1.0")
	q := u.status().Question
	if q == nil || q.Update != update || q.Product != "base" || q.From != "1.0.0" || q.To != "1.1.0" || q.Notes != "New: two cameras.\n" ||
		!q.Pending || !q.Deadline.Equal(w.Until) || w.Until.IsZero() {
		t.Errorf("question: %+v, wait %+v", q, w)
	}
	u.asleep()
	if q := u.answer(wire.Yes, 0); q.Pending || q.Say != wire.Yes {
		t.Errorf("answered: %+v", q)
	}
	u.untilEnd(update)
	u.wantEvents("downloading installing staged staged:yes rebooting trying committed")
	u.wantRunning(boot.B, "1.1.0", image(2))
	if _, err := u.agent().Answer(wire.Yes, 0); err == nil {
		t.Error("an answer to nothing was taken")
	}
}

// TestSoftIsForcedInTheEnd: nobody answers, or somebody says no; it begins at the latest moment.
func TestSoftIsForcedInTheEnd(t *testing.T) {
	for _, say := range []wire.Say{"", wire.No, wire.Later} {
		t.Run("say="+string(say), func(t *testing.T) {
			t.Parallel()
			site := newSite(t)
			release(nil)(site)
			u := newUnit(t, site)
			jump := u.timed()
			u.enroll()
			update := site.Direct(u.id, "1.1.0", soft(10*time.Hour))
			w := u.untilWait(update, wire.WaitPeople)
			want := "downloading installing staged "
			if say != "" {
				if q := u.answer(say, 100*time.Hour); say == wire.Later && !q.Until.Equal(w.Until) {
					t.Errorf("put off until %v, the latest is %v", q.Until, w.Until)
				}
				u.untilEvent("staged:" + string(say))
				want += "staged:" + string(say) + " "
			}
			jump(9 * time.Hour)
			u.asleep()
			jump(2 * time.Hour)
			u.untilEnd(update)
			u.wantEvents(want + "rebooting trying committed")
		})
	}
}

// TestPutOff: later is told to the director, who takes the direction back and gives another;
// the people are asked again, and nothing is fetched again.
func TestPutOff(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	first := site.Direct(u.id, "1.1.0", soft(72*time.Hour))
	u.untilWait(first, wire.WaitPeople)
	before := u.clock()
	u.answer(wire.Later, 4*time.Hour)
	u.untilEvent("staged:later")
	e := u.last(first)
	if d := e.Until.Sub(before); d < 4*time.Hour-time.Minute || d > 4*time.Hour+time.Minute {
		t.Errorf("put off until %v", e.Until)
	}
	if q := u.status().Question; q == nil || q.Pending || q.Say != wire.Later {
		t.Errorf("question: %+v", q)
	}
	jump(5 * time.Hour)
	if q := u.status().Question; q == nil || !q.Pending {
		t.Errorf("after its time it is not asked again: %+v", q)
	}
	site.Direct(u.id, "", nil)
	u.untilEvent("failed(superseded)")
	if q := u.status().Question; q != nil {
		t.Errorf("still asked: %+v", q)
	}
	second := site.Direct(u.id, "1.1.0", soft(60*time.Hour))
	u.untilWait(second, wire.WaitPeople)
	u.answer(wire.Yes, 0)
	if end := u.untilEnd(second); end.State != wire.Committed || end.Fetched != 0 {
		t.Errorf("ended as %+v", end)
	}
}

// TestAsked: a question names a release and installs nothing. The yes holds for the direction
// that follows, and for another one to the same release, as after a night that was too short.
func TestAsked(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	question := func(d *direction.Direction) { d.Kind, d.DeferUntil = direction.Ask, in(24*time.Hour) }
	update := site.Direct(u.id, "1.1.0", question)
	u.untilWait(update, wire.WaitPeople)
	u.wantEvents("")
	if q := u.status().Question; q == nil || q.Update != update || q.To != "1.1.0" || q.Deadline.IsZero() {
		t.Fatalf("question: %+v", q)
	}
	if b, err := os.ReadFile(u.cfg.Slots.B); err == nil && strings.Trim(string(b), "\x00") != "" {
		t.Error("a question has written to the slot")
	}
	u.power()
	u.asleep()
	u.answer(wire.Yes, 0) // while no agent runs
	u.untilEvent("idle:yes")
	if e := u.last(update); e.To != "1.1.0" || e.From != "1.0.0" {
		t.Errorf("answer: %+v", e)
	}
	named := func(d *direction.Direction) {
		d.Update, d.Kind, d.DeferUntil = update, direction.Soft, in(24*time.Hour)
	}
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { named(d); d.Until = in(-time.Minute) })
	u.untilWait(update, wire.WaitWindow)
	site.Direct(u.id, "", nil)
	u.untilEvent("failed(superseded)")
	end := u.untilEnd(site.Direct(u.id, "1.1.0", soft(24*time.Hour)))
	if end.State != wire.Committed {
		t.Errorf("ended as %+v", end)
	}
	if got := strings.Join(u.events(), " "); strings.Contains(got, "staged") {
		t.Errorf("asked again: %s", got)
	}
}

// TestAskedAnew: a new question is a new one, whatever was answered before; one that is taken
// back is gone, and a release that is not for this device is not asked about.
func TestAskedAnew(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	site.Release("2.0.0", 3, artifact(3), func(m *firmware.Manifest) { m.Hardware = []string{"gw-7"} })
	u := newUnit(t, site)
	u.enroll()
	u.untilWait(site.Direct(u.id, "1.1.0", kind(direction.Ask)), wire.WaitPeople)
	u.answer(wire.Yes, 0)
	u.untilEvent("idle:yes")
	u.untilWait(site.Direct(u.id, "1.1.0", kind(direction.Ask)), wire.WaitPeople)
	site.Direct(u.id, "", nil)
	u.until(func() bool { return u.status().Question == nil && site.Reported(u.id).Wait == nil })
	end := u.untilEnd(site.Direct(u.id, "2.0.0", kind(direction.Ask)))
	if end.State != wire.Rejected || end.Reason != string(agent.WrongHardware) || end.To != "2.0.0" {
		t.Errorf("ended as %+v", end)
	}
	if q := u.status().Question; q != nil {
		t.Errorf("asked about what is not for this device: %+v", q)
	}
	u.asleep()
	u.untilWait(site.Direct(u.id, "1.1.0", soft(time.Hour)), wire.WaitPeople) // the first yes holds no longer
}

// TestForcedAfterSoft: the same update, forced by a newer direction, waits no longer.
func TestForcedAfterSoft(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", soft(time.Hour))
	u.untilWait(update, wire.WaitPeople)
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { d.Update = update })
	u.untilEnd(update)
	u.wantEvents("downloading installing staged rebooting trying committed")
}

// TestAnswerIsNotLost: the file that a person left is there until the outbox has the answer.
func TestAnswerIsNotLost(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", soft(time.Hour))
	u.untilWait(update, wire.WaitPeople)
	u.answer(wire.Later, time.Minute)
	// The service is away; the agent takes the answer up and is killed.
	u.cfg.Service = "https://127.0.0.1:1"
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if !u.live(ctx, func() bool { s := u.status(); return s.Outbox > 0 && s.Question.Say == wire.Later }) {
		t.Fatalf("%+v", u.status())
	}
	u.cfg.Service = site.Server.URL
	u.power()
	u.untilEvent("staged:later")
	for name, b := range map[string]string{"of another": `{"schema":1,"update":"x","say":"yes"}`, "nonsense": "yes", "long": strings.Repeat(" ", 2000)} {
		write(t, u.path("state/answer.json"), []byte(b))
		u.until(func() bool { _, err := os.Stat(u.path("state/answer.json")); return os.IsNotExist(err) })
		if last := u.last(update); last.Say != wire.Later {
			t.Errorf("%s: %+v", name, last)
		}
	}
	u.wantStaged("1.1.0")
}

// TestWindowBeforeTheDownload: a direction that comes after its window begins nothing; with
// another window it goes on.
func TestWindowBeforeTheDownload(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	var asked atomic.Int32
	site.Repo.Hook(func(string) *tuftest.Response { asked.Add(1); return nil })
	u := newUnit(t, site)
	u.enroll()
	update := site.Direct(u.id, "1.1.0", window(-time.Second))
	u.untilWait(update, wire.WaitWindow)
	u.wantEvents("downloading")
	u.asleep()
	if n := asked.Load(); n != 0 {
		t.Errorf("the repository was asked %d times", n)
	}
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { d.Update, d.Until = update, in(time.Hour) })
	u.untilEnd(update)
	u.wantEvents(goodWay)
	if r := site.Reported(u.id); r.Wait != nil {
		t.Errorf("still waits: %+v", r.Wait)
	}
}

// TestWindowClosesInTheDownload: the download stops, and goes on in the next window where it
// was. The window closes because the clock jumps.
func TestWindowClosesInTheDownload(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	var once atomic.Bool
	u.meddle = func(_ int, o *agent.Options) {
		o.Limits.Checkpoint, o.Limits.Workers = 1, 1
		o.Progress = func(p install.Progress) {
			if p.Done > 100_000 && p.Phase == install.PhaseInstall && once.CompareAndSwap(false, true) {
				jump(3 * time.Hour)
			}
			if once.Load() && p.Phase == install.PhaseInstall {
				time.Sleep(20 * time.Millisecond) // a slow slot
			}
		}
	}
	update := site.Direct(u.id, "1.1.0", window(2*time.Hour))
	u.untilWait(update, wire.WaitWindow)
	u.wantEvents("downloading")
	u.meddle = nil
	jump(-3 * time.Hour) // what was trusted is not forgotten by going back; but nothing was verified that late
	u.untilEnd(update)
	u.wantEvents(goodWay)
	u.wantRunning(boot.B, "1.1.0", image(2))
}

// TestWindowClosesBeforeTheReboot: the people agree too late for tonight.
func TestWindowClosesBeforeTheReboot(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	terms := func(until time.Duration) func(*direction.Direction) {
		return func(d *direction.Direction) { soft(40 * time.Hour)(d); d.Until = in(until) }
	}
	update := site.Direct(u.id, "1.1.0", terms(2*time.Hour))
	u.untilWait(update, wire.WaitPeople)
	jump(3 * time.Hour)
	u.untilWait(update, wire.WaitWindow)
	u.answer(wire.Yes, 0)
	u.untilEvent("staged:yes")
	u.asleep()
	u.wantStaged("1.1.0")
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { terms(20 * time.Hour)(d); d.Update = update })
	u.untilEnd(update)
	u.wantEvents("downloading installing staged staged:yes rebooting trying committed")
}

// TestWindowClosesWhileTheRebootDoesNotCome: the trial is given up until the next window.
func TestWindowClosesWhileTheRebootDoesNotCome(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	update := site.Direct(u.id, "1.1.0", window(2*time.Hour))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if u.live(ctx, func() bool { return false }) || ctx.Err() != nil {
		t.Fatal("no reboot was asked for")
	}
	jump(3 * time.Hour) // and the agent is started again, in the same boot
	u.untilWait(update, wire.WaitWindow)
	u.wantEvents("downloading installing rebooting staged")
	u.wantStaged("1.1.0")
	if slot := u.power(); slot != boot.A {
		t.Fatalf("slot %s was started after the window", slot)
	}
	u.asleep()
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { d.Update, d.Until = update, in(20*time.Hour) })
	u.untilEnd(update)
	u.wantEvents("downloading installing rebooting staged rebooting trying committed")
}

// TestWindowClosesInTheTrial: from the reboot on nothing is taken back.
func TestWindowClosesInTheTrial(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	u.meddle = func(boots int, o *agent.Options) {
		o.Health = []health.Check{{Name: "late", Run: func(context.Context) error {
			if boots == 2 {
				jump(3 * time.Hour)
			}
			return nil
		}}}
	}
	update := site.Direct(u.id, "1.1.0", window(2*time.Hour))
	u.untilEnd(update)
	u.wantEvents(goodWay)
	u.wantRunning(boot.B, "1.1.0", image(2))
}

// TestExpiredWhileStaged: what the director no longer stands by is not begun.
func TestExpiredWhileStaged(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	release(nil)(site)
	u := newUnit(t, site)
	jump := u.timed()
	u.enroll()
	update := site.Direct(u.id, "1.1.0", func(d *direction.Direction) { soft(4 * time.Hour)(d); d.Expires = in(2 * time.Hour) })
	u.untilWait(update, wire.WaitPeople)
	jump(5 * time.Hour)
	u.untilWait(update, wire.WaitDirection)
	u.asleep()
	site.Direct(u.id, "1.1.0", func(d *direction.Direction) { soft(4 * time.Hour)(d); d.Update = update })
	u.untilEnd(update)
	u.wantEvents("downloading installing staged rebooting trying committed")
}
