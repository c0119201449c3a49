package director_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// theRollout has the same order of devices in every run.
const theRollout = "6f1c0a52-8d3e-4c55-9b7a-1f2e3d4c5b6a"

const twoPhases = `{"schema": 1, "phases": [{"name": "canary", "canary": true, "count": 3}, {"name": "all", "percent": 100}]}`

func (s *site) rollout(plan string, change ...func(*director.NewRollout)) director.Rollout {
	s.t.Helper()
	n := director.NewRollout{ID: theRollout, Tenant: "acme", Creator: "tester", Plan: []byte(plan), Product: "base", Version: "1.1.0"}
	for _, f := range change {
		f(&n)
	}
	r, err := s.StartRollout(ctx, n)
	must(s.t, err)
	return r
}

// turns takes turns until none is due.
func (s *site) turns() {
	s.t.Helper()
	for range 100 {
		n, err := s.TakeTurns(ctx)
		must(s.t, err)
		if n == 0 {
			return
		}
	}
	s.t.Fatal("there is always another turn due")
}

func (s *site) stands(id string) director.Rollout {
	s.t.Helper()
	r, err := s.Director.Rollout(ctx, "acme", id)
	must(s.t, err)
	return r
}

// states are the devices of the rollout by state.
func (s *site) states(id string) map[rollout.State][]director.Identity {
	s.t.Helper()
	all, err := s.RolloutDevices(ctx, "acme", store.RowQuery{Rollout: id})
	must(s.t, err)
	out := map[rollout.State][]director.Identity{}
	for _, d := range all {
		var state rollout.State
		must(s.t, state.UnmarshalText([]byte(d.State)))
		out[state] = append(out[state], director.Identity{Tenant: "acme", Device: d.Device})
	}
	return out
}

// wantStates compares the numbers of devices by state.
func (s *site) wantStates(when, id string, want map[rollout.State]int) {
	s.t.Helper()
	got := map[rollout.State]int{}
	for state, all := range s.states(id) {
		got[state] = len(all)
	}
	if !maps.Equal(got, want) {
		s.t.Fatalf("%s: devices %v, want %v", when, got, want)
	}
}

// goes reports a device's way through its direction, and for a commit its new version.
func (s *site) goes(id director.Identity, seq int64, states ...wire.State) {
	s.t.Helper()
	d := s.direction(id)
	for i, state := range states {
		e := event(d.Update, seq+int64(i), state)
		if state.Final() && state != wire.Committed {
			e.Reason = "health_check"
		}
		must(s.t, s.say(id, wire.LeafEvent, e))
		if state == wire.Committed {
			must(s.t, s.say(id, wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.1.0", Counter: 2, Direction: d.Version}))
		}
	}
}

func TestRolloutFromStartToEnd(t *testing.T) {
	s := newSite(t)
	ids := s.fleet(t, 10)
	if r := s.rollout(twoPhases); r.Status.Run != rollout.Running || r.Status.Phase != "canary" || r.Status.InFlight != 3 || r.Version != "1.1.0" {
		t.Fatalf("started: %+v", r)
	}
	s.wantStates("after the start", theRollout, map[rollout.State]int{rollout.Directed: 3, rollout.Waiting: 7})
	for _, id := range s.states(theRollout)[rollout.Directed] {
		d := s.direction(id)
		if d.Target == nil || d.Target.Path != "base/1.1.0.json" || d.Update != rollout.UpdateName(theRollout, id.Device, 1) || d.Kind != "" || s.told[id.Device] != 1 {
			t.Errorf("direction %+v, told %d times", d, s.told[id.Device])
		}
		if u := s.storedUpdate(d.Update); u.Version != "1.1.0" || u.State != "idle" {
			t.Errorf("update %+v", u)
		}
		s.goes(id, 1, wire.Downloading, wire.Committed)
	}
	s.turns()
	s.wantStates("after the canary", theRollout, map[rollout.State]int{rollout.Committed: 3, rollout.Directed: 7})
	for _, id := range s.states(theRollout)[rollout.Directed] {
		s.goes(id, 1, wire.Committed)
	}
	s.turns()
	if r := s.stands(theRollout); r.Status.Run != rollout.Finished || r.Finished.IsZero() || !r.Next.IsZero() {
		t.Errorf("at the end: %+v", r)
	}
	for _, id := range ids {
		if s.told[id.Device] != 1 {
			t.Errorf("device %s was told %d times", id.Device, s.told[id.Device])
		}
	}
}

func TestBadReleasePausesByItself(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 30)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100, "success": 50}], "in_flight": 10, "pause": {"percent": 10, "sample": 5}}`)
	for n, id := range s.states(theRollout)[rollout.Directed] {
		end := wire.RolledBack
		if n%2 == 0 {
			end = wire.Committed
		}
		if s.stands(theRollout).Status.Run == rollout.Running {
			s.goes(id, 1, wire.Downloading, end)
			s.turns()
		}
	}
	r := s.stands(theRollout)
	if r.Status.Run != rollout.Paused || !strings.Contains(r.Status.Reason, "failed or fell silent") {
		t.Fatalf("the release fails on every second device: %+v", r.Status)
	}
	if len(r.Reasons) != 1 || r.Reasons[0].Reason != "health_check" || r.Reasons[0].State != "failed" {
		t.Errorf("reasons %+v", r.Reasons)
	}
	if n := len(s.states(theRollout)[rollout.Directed]); n != 0 {
		t.Errorf("%d devices keep a direction that they have not begun", n)
	}
	for _, id := range s.states(theRollout)[rollout.Waiting] {
		if s.told[id.Device] > 0 && s.direction(id).Target != nil {
			t.Errorf("device %s waits and has direction %+v", id.Device, s.direction(id))
		}
	}
	if _, err := s.ApproveRollout(ctx, "acme", theRollout, "nothing"); code(err) != wire.CodeConflict {
		t.Errorf("approving no phase: %v", err)
	}
	r, err := s.ResumeRollout(ctx, "acme", theRollout)
	if err != nil || r.Status.Run != rollout.Running || r.Status.InFlight == 0 {
		t.Errorf("resumed: %+v, %v", r.Status, err)
	}
}

// TestRollBackByItself: the plan says so and the tenant allows it. What was updated goes back,
// what is under way is taken back, and the log says who did it.
func TestRollBackByItself(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 8)
	_, err := s.ChangeSettings(ctx, "acme", func(o *store.Settings) { o.RollBack = true })
	must(t, err)
	s.rollout(`{"schema": 1, "roll_back": true, "in_flight": 4, "phases": [{"name": "all", "percent": 100, "success": 10}], "pause": {"percent": 25, "sample": 3}}`,
		func(n *director.NewRollout) { n.Fallback = "1.0.1" })
	directed := s.states(theRollout)[rollout.Directed]
	s.goes(directed[0], 1, wire.Committed)
	s.goes(directed[1], 1, wire.RolledBack)
	s.goes(directed[2], 1, wire.Downloading, wire.Failed)
	s.turns()
	if r := s.stands(theRollout); r.Status.Run != rollout.RollingBack || r.Fallback != "1.0.1" {
		t.Fatalf("after two of three have failed: %+v", r)
	}
	d := s.direction(directed[0])
	if d.Target == nil || d.Target.Path != "base/1.0.1.json" || d.Kind != "" {
		t.Errorf("the one that was updated has %+v", d)
	}
	if d := s.direction(directed[3]); d.Target != nil {
		t.Errorf("one that had not begun has %+v", d)
	}
	must(t, s.say(directed[0], wire.LeafEvent, event(d.Update, 9, wire.Committed)))
	s.turns()
	if r := s.stands(theRollout); r.Status.Run != rollout.RolledBack || r.Finished.IsZero() {
		t.Errorf("at the end: %+v", r.Status)
	}
	var told []string
	must(t, s.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Audit(store.AuditQuery{Tenant: "acme"})
		for _, e := range all {
			if e.Object == "rollout/"+theRollout {
				told = append(told, e.Actor+" "+e.Action)
			}
		}
		return err
	}))
	slices.Sort(told)
	if want := []string{"system/director rollout.end", "system/director rollout.phase", "system/director rollout.roll_back"}; !slices.Equal(told, want) {
		t.Errorf("the audit log has %q, want %q", told, want)
	}
}

func TestSilentDevice(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 2)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100, "success": 50}], "silent_after": "2h",
	  "pause": {"percent": 100}, "open_until": "2026-10-01T00:00:00Z"}`)
	quiet := s.states(theRollout)[rollout.Directed][0]
	s.goes(s.states(theRollout)[rollout.Directed][1], 1, wire.Committed)
	s.turns()
	if next := s.stands(theRollout).Next; !next.Equal(s.clock().Add(2 * time.Hour)) {
		t.Errorf("the next turn is due at %s", next)
	}
	s.pass(2 * time.Hour)
	s.turns()
	s.wantStates("after two hours", theRollout, map[rollout.State]int{rollout.Silent: 1, rollout.Committed: 1})
	if d := s.direction(quiet); d.Target != nil {
		t.Errorf("a silent device keeps %+v", d)
	}
	if u := s.storedUpdate(rollout.UpdateName(theRollout, quiet.Device, 1)); u.State != "failed" || u.Reason != "withdrawn" {
		t.Errorf("its update: %+v", u)
	}
	must(t, s.Connected(ctx, quiet, true))
	s.turns()
	s.wantStates("when it is seen", theRollout, map[rollout.State]int{rollout.Directed: 1, rollout.Committed: 1})
	if d := s.direction(quiet); d.Update != rollout.UpdateName(theRollout, quiet.Device, 2) {
		t.Errorf("the second attempt: %+v", d)
	}
}

func TestWindowStandsInTheDirection(t *testing.T) {
	s := newSite(t) // 10:00 UTC, 12:00 in Berlin
	ids := s.fleet(t, 1)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "zone": "Europe/Berlin", "windows": [{"from": "22:00", "to": "04:00"}]}`)
	opens := time.Date(2026, 9, 1, 20, 0, 0, 0, time.UTC)
	if r := s.stands(theRollout); !r.Next.Equal(opens) || s.told[ids[0].Device] != 0 {
		t.Fatalf("outside the window: next %s, told %d times", r.Next, s.told[ids[0].Device])
	}
	s.pass(opens.Sub(s.clock()))
	s.turns()
	d := s.direction(ids[0])
	if d.Target == nil || !d.Until.Equal(opens.Add(6*time.Hour)) {
		t.Fatalf("within the window: %+v", d)
	}
	s.pass(director.Lifetime/2 + time.Hour)
	if _, err := s.Reissue(ctx); err != nil {
		t.Fatal(err)
	}
	if again := s.direction(ids[0]); !again.Until.Equal(d.Until) || again.Update != d.Update {
		t.Errorf("issued anew: %+v, want the same terms as %+v", again, d)
	}
	s.turns()
	if d := s.direction(ids[0]); d.Target != nil {
		t.Errorf("days later, outside the window: %+v", d)
	}
}

func TestConsent(t *testing.T) {
	s := newSite(t)
	ids := s.fleet(t, 1)
	id := ids[0]
	s.rollout(`{"schema": 1, "kind": "soft", "consent": {"ask": true, "longest": "48h", "then": "force"}, "phases": [{"name": "all", "percent": 100}]}`)
	begin := s.clock()
	name := rollout.UpdateName(theRollout, id.Device, 1)
	d := s.direction(id)
	if d.Kind != direction.Ask || d.Update != name || !d.DeferUntil.Equal(begin.Add(48*time.Hour)) {
		t.Fatalf("the question: %+v", d)
	}
	answer := func(seq int64, update string, say wire.Say, until time.Time) {
		e := event(update, seq, wire.Idle)
		e.Say, e.Until = say, until
		must(t, s.say(id, wire.LeafEvent, e))
		s.turns()
	}
	answer(1, name, wire.Later, begin.Add(3*time.Hour))
	s.wantStates("put off", theRollout, map[rollout.State]int{rollout.Deferred: 1})
	if d := s.direction(id); d.Target != nil {
		t.Errorf("put off, and still %+v", d)
	}
	s.pass(3 * time.Hour)
	s.turns()
	second := rollout.UpdateName(theRollout, id.Device, 2)
	if d := s.direction(id); d.Kind != direction.Ask || d.Update != second {
		t.Fatalf("asked again: %+v", d)
	}
	answer(2, second, wire.Yes, time.Time{})
	if d := s.direction(id); d.Kind != direction.Soft || d.Update != second || !d.DeferUntil.Equal(begin.Add(48*time.Hour)) {
		t.Fatalf("agreed: %+v", d)
	}
	s.goes(id, 3, wire.Downloading, wire.Committed)
	s.turns()
	if r := s.stands(theRollout); r.Status.Run != rollout.Finished {
		t.Errorf("at the end %+v", r.Status)
	}
}

// TestTwoRolloutsShareDevices: a device is with one rollout at a time, and goes on to the
// other when that is done with it.
func TestTwoRolloutsShareDevices(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 6)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "in_flight": 4}`)
	const second = "11111111-2222-4333-8444-555555555555"
	r := s.rollout(`{"schema": 1, "kind": "download_only", "phases": [{"name": "all", "percent": 100}], "pause": {"percent": 100}}`,
		func(n *director.NewRollout) { n.ID = second })
	if r.Status.Phases[0].Busy != 4 || r.Status.InFlight != 2 {
		t.Fatalf("the second has what the first leaves: %+v", r.Status)
	}
	_, err := s.PauseRollout(ctx, "acme", theRollout, "")
	must(t, err)
	s.turns()
	if r := s.stands(second); r.Status.Phases[0].Busy != 0 || r.Status.InFlight != 6 {
		t.Fatalf("what the first has freed: %+v", r.Status)
	}
	r, err = s.ResumeRollout(ctx, "acme", theRollout)
	if err != nil || r.Status.Phases[0].Busy != 6 || r.Status.InFlight != 0 {
		t.Fatalf("the first when the second has all: %+v, %v", r.Status, err)
	}
	for _, id := range s.states(second)[rollout.Directed] {
		if d := s.direction(id); d.Kind != direction.DownloadOnly {
			t.Errorf("direction %+v", d)
		}
		s.goes(id, 1, wire.Staged)
	}
	s.turns()
	if r := s.stands(theRollout); r.Status.InFlight != 4 || r.Status.Phases[0].Busy != 0 {
		t.Errorf("what the second has freed: %+v", r.Status)
	}
	for range 2 {
		for _, id := range s.states(theRollout)[rollout.Directed] {
			s.goes(id, 10, wire.Committed)
		}
		s.turns()
	}
	if a, b := s.stands(theRollout), s.stands(second); a.Status.Run != rollout.Finished || b.Status.Run != rollout.Finished {
		t.Errorf("at the end %+v and %+v", a.Status, b.Status)
	}
}

func TestDirectLeavesARolloutItsDevices(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 4)
	s.rollout(twoPhases)
	order := director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true}
	refused := 0
	for _, o := range s.order(order) {
		if o.Refused == director.RefusedRollout && strings.Contains(o.Detail, theRollout) {
			refused++
		}
	}
	if refused != 3 {
		t.Errorf("%d of 3 devices of the rollout were refused", refused)
	}
	order.Force = true
	if i := slices.IndexFunc(s.order(order), func(o director.Outcome) bool { return o.Refused != "" }); i >= 0 {
		t.Error("force was refused")
	}
}

// TestFactsReachTheRollout: revoked, offline, and updated without the rollout's help.
func TestFactsReachTheRollout(t *testing.T) {
	s := newSite(t)
	ids := s.fleet(t, 5)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "in_flight": 3}`)
	directed, waiting := s.states(theRollout)[rollout.Directed], s.states(theRollout)[rollout.Waiting]
	must(t, s.Revoke(ctx, directed[0].Device))
	must(t, s.Cloud(ctx, "acme", directed[1].Device, true))
	must(t, s.say(waiting[0], wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.1.0", Counter: 2}))
	s.turns()
	s.wantStates("then", theRollout, map[rollout.State]int{rollout.Excluded: 2, rollout.Already: 1, rollout.Directed: 2})
	if d := s.direction(directed[1]); !d.Offline {
		t.Errorf("the order to go offline was taken back: %+v", d)
	}
	must(t, s.say(directed[1], wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Offline: true, Direction: s.direction(directed[1]).Version}))
	must(t, s.say(directed[1], wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Direction: s.direction(directed[1]).Version}))
	s.turns()
	s.wantStates("when it is online again", theRollout, map[rollout.State]int{rollout.Excluded: 1, rollout.Already: 1, rollout.Directed: 3})
	_ = ids
}

func TestLateDevicesJoin(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 2)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "open_until": "2026-10-01T00:00:00Z"}`)
	token, _, err := s.NewClaim(ctx, "acme", 1, time.Hour)
	must(t, err)
	late := s.enrolled(token, "late")
	must(t, s.say(late, wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.0.0", Counter: 1}))
	s.turns()
	if d := s.direction(late); d.Target == nil {
		t.Errorf("a device that appeared later: %+v", d)
	}
}

func TestRolloutRefusals(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 1)
	for what, c := range map[string]struct {
		change func(*director.NewRollout)
		want   string
	}{
		"no plan":    {func(n *director.NewRollout) { n.Plan = []byte("{}") }, wire.CodeBadRequest},
		"no release": {func(n *director.NewRollout) { n.Version = "9" }, wire.CodeNotFound},
		"no tenant":  {func(n *director.NewRollout) { n.Tenant = "x" }, wire.CodeNotFound},
		"no UUID":    {func(n *director.NewRollout) { n.ID = "x" }, wire.CodeBadRequest},
		"no group": {func(n *director.NewRollout) {
			n.Plan = []byte(strings.Replace(twoPhases, `"count": 3`, `"groups": ["lab"]`, 1))
		}, wire.CodeBadRequest},
		"no roll-back":   {func(n *director.NewRollout) { n.Fallback = "1.0.0" }, wire.CodeConflict},
		"its ID is used": {func(n *director.NewRollout) { n.ID = theRollout }, wire.CodeConflict},
	} {
		if what == "its ID is used" {
			s.rollout(twoPhases)
		}
		n := director.NewRollout{Tenant: "acme", Plan: []byte(twoPhases), Product: "base", Version: "1.1.0"}
		c.change(&n)
		if _, err := s.StartRollout(ctx, n); code(err) != c.want {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
		if all, _ := s.Rollouts(ctx, store.RolloutQuery{}); len(all) > 1 {
			t.Fatalf("%s: it was stored", what)
		}
		if what == "its ID is used" {
			continue
		}
	}
	if _, err := s.PauseRollout(ctx, "globex", theRollout, ""); code(err) != wire.CodeNotFound {
		t.Errorf("another tenant's rollout: %v", err)
	}
}

// TestPreviewIsWhatComes: with the same ID.
func TestPreviewIsWhatComes(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 20)
	must(t, s.say(director.Identity{Tenant: "acme", Device: "device-00003"}, wire.LeafReported,
		wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.1.0", Counter: 2}))
	must(t, s.Store.Update(ctx, func(tx *store.Tx) error { return tx.SetCloudOff("device-00004", true) }))
	n := director.NewRollout{ID: theRollout, Tenant: "acme", Plan: []byte(twoPhases), Product: "base", Version: "1.1.0"}
	p, err := s.PreviewRollout(ctx, n, 2)
	must(t, err)
	if len(p.Phases) != 2 || p.Phases[0].Count != 3 || p.Phases[0].Need != 3 || p.Phases[1].Count != 15 || len(p.Phases[1].Devices) != 2 ||
		p.Already.Count != 1 || len(p.Excluded) != 1 || p.Excluded[0].Reason != "cloud_off" || p.Others != 0 {
		t.Errorf("preview %+v", p)
	}
	if all, _ := s.Rollouts(ctx, store.RolloutQuery{}); len(all) != 0 {
		t.Fatal("a preview was stored")
	}
	p, err = s.PreviewRollout(ctx, n, 100)
	must(t, err)
	s.rollout(twoPhases)
	var got []string
	for _, id := range s.states(theRollout)[rollout.Directed] {
		got = append(got, id.Device)
	}
	if !slices.Equal(got, p.Phases[0].Devices) {
		t.Errorf("the canary is %v, the preview said %v", got, p.Phases[0].Devices)
	}
}

// TestRestartInTheMiddle: what is remembered is what is stored.
func TestRestartInTheMiddle(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 12)
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}], "in_flight": 3}`)
	for n := 0; s.stands(theRollout).Status.Run == rollout.Running; n++ {
		if n > 12 {
			t.Fatal("it does not end")
		}
		for _, id := range s.states(theRollout)[rollout.Directed][:1] {
			s.goes(id, 1, wire.Downloading, wire.Committed)
		}
		s.start()
		s.turns()
	}
	s.wantStates("at the end", theRollout, map[rollout.State]int{rollout.Committed: 12})
	if fmt.Sprint(s.stands(theRollout).Status.Run) != "finished" {
		t.Errorf("at the end: %+v", s.stands(theRollout))
	}
}
