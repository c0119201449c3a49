package rollout

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/agent/wire"
)

// world drives a rollout with random events and checks, from the outside, what the engine
// promises. A second engine gets the same, and is restored from its rows now and then.
type world struct {
	*rapid.T
	spec   Spec
	a, b   *Rollout
	now    time.Time
	names  []string
	zones  map[string]string   // of devices
	told   map[string]Action   // what stands at a device
	past   map[string][]string // updates that a device was named
	said   map[string]bool     // it has said that it committed
	starts []time.Time
	events []Event               // reports and answers that were given
	ends   map[string]wire.State // of updates
	phase  int
	// What was stored of b.
	head Head
	rows map[string]Row
}

func genSpec(t *rapid.T) Spec {
	s := Spec{Schema: 1, Kind: rapid.SampledFrom([]Kind{Forced, Soft, DownloadOnly}).Draw(t, "kind")}
	if s.Kind == Soft {
		s.Consent = &Consent{Ask: rapid.Bool().Draw(t, "ask"), Longest: Duration(rapid.IntRange(1, 72).Draw(t, "longest")) * Duration(time.Hour),
			Then: rapid.SampledFrom([]Then{Force, Skip}).Draw(t, "then")}
	}
	canary := rapid.Bool().Draw(t, "canary")
	s.Phases = []Phase{{Name: "first", Canary: canary, Count: rapid.IntRange(1, 5).Draw(t, "count")}}
	if rapid.Bool().Draw(t, "group") {
		s.Phases = append(s.Phases, Phase{Name: "site", Groups: []string{"berlin"}, Approval: rapid.Bool().Draw(t, "approval")})
	}
	s.Phases = append(s.Phases, Phase{Name: "half", Percent: 50, Soak: Duration(rapid.IntRange(0, 3).Draw(t, "soak")) * Duration(time.Hour)},
		Phase{Name: "rest", Percent: 100, Success: rapid.IntRange(1, 100).Draw(t, "success")})
	s.InFlight = rapid.IntRange(0, 8).Draw(t, "in flight")
	s.PerMinute = rapid.IntRange(0, 6).Draw(t, "per minute")
	s.SilentAfter = Duration(rapid.IntRange(1, 30).Draw(t, "silent")) * Duration(time.Hour)
	s.Pause = &Brake{Percent: rapid.SampledFrom([]int{0, 10, 30, 100}).Draw(t, "percent"), Sample: rapid.IntRange(0, 8).Draw(t, "sample")}
	s.RollBack = s.Kind != DownloadOnly && rapid.Bool().Draw(t, "roll back")
	if rapid.Bool().Draw(t, "windows") {
		s.Zone = "Europe/Berlin"
		s.Windows = []Window{{From: Clock(rapid.IntRange(0, 23).Draw(t, "from")) * 60, To: Clock(rapid.IntRange(0, 23).Draw(t, "to"))*60 + 30}}
		if rapid.Bool().Draw(t, "days") {
			s.Windows = append(s.Windows, Window{Days: []Day{6, 0}, From: 0, To: 24 * 60})
		}
	}
	if rapid.Bool().Draw(t, "join") {
		s.OpenUntil = begin.Add(48 * time.Hour)
	}
	return s
}

func newWorld(t *rapid.T, ask bool) *world {
	w := &world{T: t, spec: genSpec(t), now: begin, told: map[string]Action{}, past: map[string][]string{},
		said: map[string]bool{}, ends: map[string]wire.State{}, zones: map[string]string{}, rows: map[string]Row{}, phase: -1}
	if ask && w.spec.Consent != nil {
		w.spec.Consent.Ask = true
	}
	if err := Check(w.spec); err != nil {
		t.Fatal(err)
	}
	list := devices(rapid.IntRange(0, 40).Draw(t, "devices"))
	for i := range list {
		list[i] = w.dress(list[i], i)
	}
	a, err := New(setup(w.spec), list)
	if err != nil {
		t.Fatal(err)
	}
	w.a = a
	if w.b, err = New(setup(w.spec), list); err != nil {
		t.Fatal(err)
	}
	return w
}

// dress gives a device a zone, a group and an oddity.
func (w *world) dress(d Device, i int) Device {
	d.Zone = []string{"", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"}[i%4]
	d.Group = []string{"berlin/hq", "paris", ""}[i%3]
	if i%13 == 5 {
		d.Hardware = "toaster"
	}
	if i%11 == 7 {
		d.Version, d.Counter = "2.0", 20
	}
	w.names = append(w.names, d.ID)
	w.zones[d.ID] = d.Zone
	return d
}

// clone goes through JSON, with the rows in another order.
func clone(t rapid.TB, r *Rollout) *Rollout {
	t.Helper()
	return restore(t, r.setup, r.Head(), slices.Collect(r.Rows()))
}

func restore(t rapid.TB, s Setup, head Head, rows []Row) *Rollout {
	t.Helper()
	rand.New(rand.NewSource(int64(len(rows)))).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	type stored struct {
		Head Head
		Rows []Row
	}
	blob, err := json.Marshal(stored{head, rows})
	if err != nil {
		t.Fatal(err)
	}
	var back stored
	if err := json.Unmarshal(blob, &back); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(s, back.Head, slices.Values(back.Rows))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// store keeps what the second engine says has changed.
func (w *world) store() {
	head, changed, rows := w.b.Changes()
	if changed {
		w.head = head
	}
	for _, row := range rows {
		w.rows[row.Device] = row
	}
}

// crash makes the second engine again of what was stored.
func (w *world) crash() {
	w.store()
	w.b = restore(w, w.b.setup, w.head, slices.Collect(maps.Values(w.rows)))
}

func rowsOf(r *Rollout) map[string]Row {
	m := map[string]Row{}
	for row := range r.Rows() {
		m[row.Device] = row
	}
	return m
}

// apply gives both engines an event, twice.
func (w *world) apply(e Event) error {
	err := w.a.Apply(w.now, e)
	rows, head := rowsOf(w.a), w.a.Head()
	again := w.a.Apply(w.now, e)
	if err == nil && again == nil && (!maps.Equal(rows, rowsOf(w.a)) || !reflect.DeepEqual(head, w.a.Head())) {
		w.Fatalf("%#v changed something when it came again:\n%s", e, difference(rows, rowsOf(w.a)))
	}
	if other := w.b.Apply(w.now, e); fmt.Sprint(other) != fmt.Sprint(err) {
		w.Fatalf("%#v: %v, and after a restore %v", e, err, other)
	}
	w.brakeHeld()
	return err
}

func difference(a, b map[string]Row) (s string) {
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if a[k] != b[k] {
			s += fmt.Sprintf("%+v\n%+v\n", a[k], b[k])
		}
	}
	return s
}

// step steps both engines to the end of what there is to do, and judges.
func (w *world) step() {
	for range 100 {
		before := rowsOf(w.a)
		actions, next := w.a.Step(w.now)
		others, then := w.b.Step(w.now)
		if !reflect.DeepEqual(actions, others) || !next.Equal(then) {
			w.Fatalf("after a restore it steps otherwise:\n%+v %v\n%+v %v", actions, next, others, then)
		}
		if rows, other := rowsOf(w.a), rowsOf(w.b); !maps.Equal(rows, other) {
			w.Fatalf("after a restore it keeps otherwise:\n%s", difference(rows, other))
		}
		w.store()
		w.judge(actions, before)
		w.brakeHeld()
		if !next.Equal(w.now) {
			w.quietUntil(next)
			return
		}
	}
	w.Fatal("the engine is never content")
}

// quietUntil checks that nothing would have happened before the time that Step named.
func (w *world) quietUntil(next time.Time) {
	early := w.now.Add(14 * 24 * time.Hour)
	if !next.IsZero() && next.Add(-time.Second).Before(early) {
		early = next.Add(-time.Second)
	}
	if actions, again := clone(w, w.a).Step(early); len(actions) > 0 {
		w.Fatalf("at %v it asked for %v; at %v it does %+v and asks for %v", w.now, next, early, actions, again)
	}
}

// judge looks at what one step did.
func (w *world) judge(actions []Action, before map[string]Row) {
	head, after := w.a.Head(), rowsOf(w.a)
	if head.Phase < w.phase {
		w.Fatalf("phase %d after %d", head.Phase, w.phase)
	}
	w.phase = head.Phase
	started := 0
	for _, a := range actions {
		switch a.Op {
		case OpWithdraw:
			if _, ok := w.told[a.Device]; !ok {
				w.Fatalf("%+v, which was told nothing", a)
			}
			delete(w.told, a.Device)
			continue
		case OpAsk, OpDirect, OpRollBack:
		default:
			continue
		}
		row := before[a.Device]
		if head.Run != Running && head.Run != RollingBack {
			w.Fatalf("%+v while %s", a, head.Run)
		}
		if row.State == Excluded || row.State == Already || flags(row.Flags)&busy != 0 || row.Phase > head.Phase {
			w.Fatalf("%+v of %+v", a, row)
		}
		if (a.Op == OpRollBack) != (head.Run == RollingBack) || a.Op == OpRollBack && !w.said[a.Device] {
			w.Fatalf("%+v while %s, committed: %v", a, head.Run, w.said[a.Device])
		}
		w.told[a.Device] = a
		w.past[a.Device] = append(w.past[a.Device], a.Update)
		if a.Op != OpAsk {
			started++
			w.starts = append(w.starts, w.now)
			w.inWindow(a)
		}
	}
	if started > 0 {
		w.limits(after)
	}
	for name, row := range after {
		w.rightlyHeld(head.Run, row)
		if row.State == Committed && !w.said[name] {
			w.Fatalf("%s counts as committed and has not said so", name)
		}
	}
}

// rightlyHeld: a rollout that has stopped or turned keeps only who cannot turn back.
func (w *world) rightlyHeld(run Run, row Row) {
	if row.State.Holds() && flags(row.Flags)&busy != 0 {
		w.Fatalf("%+v is held by two", row)
	}
	underway := row.State.inFlight() && row.Step >= int(stepRebooting)
	switch {
	case run == Paused && row.State.inFlight() && row.Step == 0,
		run.over() && row.State.Holds() && !underway,
		run == RollingBack && row.State.Holds() && row.State != Reverting && !underway:
		w.Fatalf("%+v is held by a rollout that is %s", row, run)
	}
}

func (w *world) limits(rows map[string]Row) {
	flying := 0
	for _, row := range rows {
		if row.State.inFlight() {
			flying++
		}
	}
	if w.spec.InFlight > 0 && flying > w.spec.InFlight {
		w.Fatalf("%d in flight", flying)
	}
	n := 0
	for _, at := range w.starts {
		if w.now.Sub(at) < time.Minute {
			n++
		}
	}
	if w.spec.PerMinute > 0 && n > w.spec.PerMinute {
		w.Fatalf("%d started within a minute", n)
	}
}

// inWindow reads the clock on the wall, as letters.
func (w *world) inWindow(a Action) {
	zone := w.zones[a.Device]
	if len(w.spec.Windows) == 0 {
		return
	}
	if zone == "" {
		zone = w.spec.Zone
	}
	at, err := time.LoadLocation(zone)
	if err != nil {
		w.Fatal(err)
	}
	wall := w.now.In(at)
	if !slices.ContainsFunc(w.spec.Windows, func(window Window) bool { return within(window, wall) }) {
		w.Fatalf("%+v at %v, outside of %+v", a, wall, w.spec.Windows)
	}
	if !a.Until.After(w.now) {
		w.Fatalf("%+v until %v, at %v", a, a.Until, w.now)
	}
}

func within(window Window, wall time.Time) bool {
	clock := wall.Format("15:04")
	begins := wall
	inside := window.From.String() <= clock && clock < window.To.String()
	if window.To < window.From {
		inside = window.From.String() <= clock || clock < window.To.String()
		if clock < window.To.String() {
			begins = time.Date(wall.Year(), wall.Month(), wall.Day()-1, 12, 0, 0, 0, time.UTC)
		}
	}
	return inside && (len(window.Days) == 0 || slices.Contains(window.Days, Day(begins.Weekday())))
}

// brakeHeld counts by hand: no running rollout has too many failures in a phase.
func (w *world) brakeHeld() {
	h := w.a.Head()
	if h.Run != Running {
		return
	}
	for p := range w.spec.Phases {
		percent, sample := w.spec.Pause.Percent, max(1, w.spec.Pause.Sample)
		if w.spec.Phases[p].Canary {
			percent, sample = 0, 1
		}
		bad, good, size := 0, 0, 0
		for row := range w.a.Rows() {
			if row.Phase != p {
				continue
			}
			failed := row.State == Failed || row.State == Silent || flags(row.Flags)&struck != 0 && row.State.open()
			switch {
			case failed:
				bad++
			case row.State == Committed || row.State == Staged:
				good++
			}
			if row.State != Excluded && row.State != Declined && row.State != Already {
				size++
			}
		}
		bad, ended := bad-h.Phases[p].Bad, bad+good-h.Phases[p].Ended
		if ended >= max(1, min(sample, size-h.Phases[p].Ended)) && bad*100 > percent*ended {
			w.Fatalf("phase %d: %d of %d failed, and the rollout runs", p, bad, ended)
		}
	}
}

// someone picks a device, now and then one that is unknown.
func (w *world) someone() string {
	return rapid.SampledFrom(append([]string{"stranger"}, w.names...)).Draw(w.T, "device")
}

// update picks what a device could name: mostly the newest.
func (w *world) update(device string) string {
	past := w.past[device]
	if len(past) == 0 || rapid.IntRange(0, 9).Draw(w.T, "odd") == 0 {
		return UpdateName("ro-1", device, rapid.IntRange(1, 3).Draw(w.T, "attempt"))
	}
	if rapid.IntRange(0, 4).Draw(w.T, "old") == 0 {
		return rapid.SampledFrom(past).Draw(w.T, "update")
	}
	return past[len(past)-1]
}

func (w *world) report() {
	device := w.someone()
	e := Report{Device: device, Update: w.update(device), State: rapid.SampledFrom([]wire.State{wire.Idle, wire.Downloading, wire.Downloading,
		wire.Installing, StagedWord, wire.Rebooting, wire.Trying, wire.Committed, wire.Committed, wire.Committed, wire.Committed,
		wire.Failed, wire.RolledBack, wire.Rejected}).Draw(w.T, "state")}
	if e.State == wire.Failed && rapid.Bool().Draw(w.T, "superseded") {
		e.Reason = Superseded
	}
	if e.State == wire.Committed && slices.Contains(w.past[device], e.Update) {
		w.said[device] = true
	}
	w.remember(device, e.Update, e)
	_ = w.apply(e)
}

func (w *world) answer() {
	device := w.someone()
	e := Answer{Device: device, Update: w.update(device), Say: rapid.SampledFrom([]Say{Yes, Yes, Later, No}).Draw(w.T, "say"),
		Until: w.now.Add(time.Duration(rapid.IntRange(-1, 100).Draw(w.T, "until")) * time.Hour)}
	w.remember(device, e.Update, e)
	_ = w.apply(e)
}

// remember an event that honest devices could have sent: an update that was named, reports
// only of one that was directed, and one end of it.
func (w *world) remember(device, update string, e Event) {
	report, ok := e.(Report)
	if ok && report.State.Final() {
		if _, ended := w.ends[update]; !ended {
			w.ends[update] = report.State
		}
		if w.ends[update] != report.State {
			return
		}
	}
	if !slices.Contains(w.past[device], update) || ok && w.told[device].Op == OpAsk {
		return
	}
	w.events = append(w.events, e)
}

// old reports and answers, again and in any order, change nothing.
func (w *world) old() {
	rows, head := rowsOf(w.a), w.a.Head()
	if len(w.events) == 0 {
		return
	}
	for range 5 {
		e := rapid.SampledFrom(w.events).Draw(w.T, "event")
		if a, ok := e.(Answer); ok && a.Say != Yes {
			continue // a deferral is counted from when it comes
		}
		_ = w.a.Apply(w.now, e)
		if !maps.Equal(rows, rowsOf(w.a)) || !reflect.DeepEqual(head, w.a.Head()) {
			w.Fatalf("%+v changed something long after it came first:\n%s", e, difference(rows, rowsOf(w.a)))
		}
	}
}

func (w *world) operator() {
	e := rapid.SampledFrom([]Event{Pause{}, Pause{}, Resume{}, Resume{}, Resume{}, Retry{}, Retry{}, Approve{"site"}, Advance{"first"}, Advance{"half"},
		Abort{}, RollBack{}}).Draw(w.T, "operator")
	switch e.(type) {
	case Abort, RollBack:
		if rapid.IntRange(0, 7).Draw(w.T, "really") != 0 {
			return
		}
	}
	_ = w.apply(e)
}

func (w *world) facts() {
	device := w.someone()
	n := slices.Index(w.names, device)
	if n < 0 {
		n = len(w.names)
		if n >= 60 {
			return
		}
		device = deviceID(n)
		w.names = append(w.names, device)
	}
	d := Device{ID: device, Product: "base", Hardware: "unit-1", Version: "1.0", Counter: 10}
	d.Zone, d.Group = rapid.SampledFrom([]string{"", "Asia/Kolkata"}).Draw(w.T, "zone"), "berlin/hq/7"
	switch rapid.IntRange(0, 6).Draw(w.T, "fact") {
	case 0:
		d.Version, d.Counter = "2.0", 20
		w.said[device] = w.said[device] || len(w.past[device]) > 0
	case 1:
		d.Unfit = "revoked"
	case 2:
		d.Version, d.Counter = "3.0", 30
	case 3:
		d.Version, d.Counter = oldRelease.Version, oldRelease.Counter
	}
	w.zones[device] = d.Zone
	_ = w.apply(Facts{d})
}

func (w *world) elsewhere() {
	device := w.someone()
	_ = w.apply(rapid.SampledFrom([]Event{Taken{device}, Freed{device}, Freed{device}, Seen{device}, Seen{device}}).Draw(w.T, "elsewhere"))
}

// sleep lets time pass: seconds, hours, or to the next time that the engine named.
func (w *world) sleep() {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 61 * time.Second, 10 * time.Minute, time.Hour,
		5 * time.Hour, 31 * time.Hour}).Draw(w.T, "sleep"))
}

func TestRandomEventsKeepThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, false)
		moves := []func(){w.report, w.report, w.report, w.report, w.report, w.answer, w.answer, w.operator, w.facts, w.elsewhere, w.sleep, w.sleep, w.old}
		for range rapid.IntRange(1, 120).Draw(t, "events") {
			rapid.SampledFrom(moves).Draw(t, "move")()
			if rapid.IntRange(0, 3).Draw(t, "step") > 0 {
				w.step()
			}
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 {
				w.crash()
			}
		}
		w.finish()
	})
}

// finish checks that whatever happened, a rollout whose devices behave comes to its end.
func (w *world) finish() {
	if h := w.a.Head(); h.Run == Paused {
		_ = w.apply(Resume{})
	}
	for range 3000 {
		w.step()
		h := w.a.Head()
		switch {
		case h.Run.over():
			return
		case h.Run == Paused:
			_ = w.apply(Advance{w.spec.Phases[h.Phase].Name})
			_ = w.apply(Resume{})
			continue
		}
		_ = w.apply(Approve{w.spec.Phases[max(0, h.Phase)].Name})
		w.behave()
		_, next := clone(w, w.a).Step(w.now)
		if next.IsZero() {
			next = w.now.Add(time.Second)
		}
		w.now = next
	}
	w.Fatalf("it comes to no end: %+v", w.a.Status())
}

func (w *world) behave() {
	rows := rowsOf(w.a)
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		row := rows[name]
		if flags(row.Flags)&busy != 0 {
			_ = w.apply(Freed{name})
		}
		past := w.past[name]
		switch {
		case row.State == Asked:
			_ = w.apply(Answer{Device: name, Update: past[len(past)-1], Say: Yes})
		case row.State.inFlight():
			w.said[name] = true
			_ = w.apply(Report{Device: name, Update: past[len(past)-1], State: wire.Committed})
			_ = w.apply(Report{Device: name, Update: past[len(past)-1], State: StagedWord})
		}
	}
}
