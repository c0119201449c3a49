package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// fault is what happens to one durable act of the device: an act on the state folder, the
// outbox or the bootloader.
type fault string

const (
	lost     fault = "lost"      // it is not done, and says so
	lied     fault = "lied"      // it is done, and says that it is not
	cutHere  fault = "cut"       // the power goes before it
	cutAfter fault = "cut-after" // the power goes after it
)

// powerCut is what a cut panics with.
type powerCut struct{}

var errFault = errors.New("input/output error (test)")

// world is what survives a power cut: the state folder, the outbox, the bootloader.
type world struct {
	files map[string][]byte
	epoch string
	seq   int64
	sent  []wire.Event
	boots boot.State
	tries int
	// forgetful bootloaders do not say that a trial has failed.
	forgetful bool

	faults map[int]fault // by act, counted from 1
	acts   []string      // so far
}

func newWorld() *world {
	return &world{files: map[string][]byte{}, epoch: "e1", tries: 1,
		boots: boot.State{Running: boot.A, Committed: boot.A, A: boot.SlotState{Bootable: true}}}
}

// act is every durable act.
func (w *world) act(name string, do func()) error {
	w.acts = append(w.acts, name)
	f := w.faults[len(w.acts)]
	switch f {
	case cutHere:
		panic(powerCut{})
	case lost:
		return errFault
	}
	do()
	switch f {
	case cutAfter:
		panic(powerCut{})
	case lied:
		return errFault
	}
	return nil
}

func (w *world) Load(name string) ([]byte, error) {
	b, ok := w.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (w *world) Save(name string, data []byte) error {
	return w.act("save "+name, func() { w.files[name] = slices.Clone(data) })
}

func (w *world) Append(e wire.Event) (wire.Event, error) {
	err := w.act("append "+string(e.State), func() {
		w.seq++
		e.Epoch, e.Seq = w.epoch, w.seq
		w.sent = append(w.sent, e)
	})
	return e, err
}

func (w *world) Position() (string, int64) { return w.epoch, w.seq }

func (w *world) State() (boot.State, error) { return w.boots, nil }

func (w *world) slot(s boot.Slot) *boot.SlotState {
	if s == boot.A {
		return &w.boots.A
	}
	return &w.boots.B
}

func (w *world) Forbid(s boot.Slot) error {
	if s == w.boots.Committed || s == w.boots.Running {
		return boot.ErrInUse
	}
	return w.act("forbid", func() {
		if s == w.boots.Trial {
			w.boots.Trial, w.boots.TriesLeft = "", 0
		}
		*w.slot(s) = boot.SlotState{}
	})
}

func (w *world) Try(s boot.Slot) error {
	if s == w.boots.Committed {
		return boot.ErrInUse
	}
	return w.act("try", func() {
		*w.slot(s) = boot.SlotState{Bootable: true}
		w.boots.Trial, w.boots.TriesLeft = s, w.tries
	})
}

func (w *world) Commit(s boot.Slot) error {
	if !w.slot(s).Bootable && s != w.boots.Running {
		return boot.ErrUnproven
	}
	return w.act("commit", func() {
		*w.slot(s) = boot.SlotState{Bootable: true}
		w.boots.Committed, w.boots.Trial, w.boots.TriesLeft = s, "", 0
	})
}

func (w *world) Cancel() error {
	return w.act("cancel", func() { w.endTrial(false) })
}

func (w *world) endTrial(failed bool) {
	if t := w.boots.Trial; t != "" {
		*w.slot(t) = boot.SlotState{Failed: failed && !w.forgetful}
	}
	w.boots.Trial, w.boots.TriesLeft = "", 0
}

// start plays the bootloader.
func (w *world) start() {
	switch {
	case w.boots.Trial != "" && w.boots.TriesLeft > 0:
		w.boots.TriesLeft--
		w.boots.Running = w.boots.Trial
	default:
		w.endTrial(w.boots.Trial != "")
		w.boots.Running = w.boots.Committed
	}
}

func (w *world) machine(t *testing.T) *machine {
	m := &machine{
		files: w, boot: w, out: w, now: func() time.Time { return time.Unix(1_800_000_000, 0).UTC() },
		log: slog.New(slog.DiscardHandler), native: Release{Product: "base", Version: "1.0.0", Counter: 1},
	}
	return m
}

var release = Release{Product: "base", Version: "1.1.0", Counter: 2, Image: firmware.Blob{Length: 1, SHA256: firmware.Sum([]byte{1})}, Update: "u1"}

// whole is release's, but for the name of the update.
var whole = &firmware.Manifest{Product: release.Product, Version: release.Version, Counter: release.Counter, Image: release.Image}

// life is a device without a network: what the loop does, in order, until it is at rest.
type life struct {
	w      *world
	kind   kind
	rounds int
	closed bool // the window, once
}

// kind is what a release is.
type kind string

const (
	good kind = "good"
	bad  kind = "bad"  // its checks say no
	dead kind = "dead" // its agent never starts
	// A good one that waits for people, and whose window closes once between the word to the
	// bootloader and the reboot.
	patient kind = "patient"
)

// boot runs the agent once, from its start to a reboot, a rest, or a power cut. It returns
// whether it came to rest.
func (l *life) boot(t *testing.T) (rest bool) {
	defer func() {
		if p := recover(); p != nil {
			if _, cut := p.(powerCut); !cut {
				panic(p)
			}
			l.w.start()
		}
	}()
	if l.kind == dead && l.w.boots.Running == boot.B {
		l.w.start()
		return false
	}
	m := l.w.machine(t)
	if err := m.open(); err != nil {
		return false
	}
	for range 20 {
		s, _, err := m.rest()
		if err != nil {
			continue // the loop waits, and tries again
		}
		switch again, err := l.step(m, s); {
		case err != nil || again:
		case s == stay && m.state.ended("u1") && len(m.unsent) == 0:
			return true
		case s == stay:
			continue // the outbox is offered its event again
		case s == hold:
			t.Fatalf("hold: %+v\n%+v", m.state, l.w.boots)
		default:
			l.w.start()
			return false
		}
	}
	t.Fatalf("no end in sight: %+v\n%+v", m.state, l.w.boots)
	return false
}

// step is what the loop does for s. again is false for a reboot and at the end.
func (l *life) step(m *machine, s step) (again bool, err error) {
	switch s {
	case stay:
		if m.state.ended("u1") {
			return false, nil
		}
		u := update{ID: "u1", Product: "base", From: "1.0.0", To: "1.1.0"}
		if l.kind == patient {
			u.terms = terms{Kind: direction.Soft, DeferUntil: m.now().Add(time.Hour)}
		}
		return true, m.begin(u)
	case await:
		return true, inOrder(func() error {
			return m.answered(answer{Update: "u1", Say: wire.Yes})
		}, m.release)
	case resume:
		return true, inOrder(m.attempt, func() error { return m.chosen(whole, boot.B) }, m.verifying, m.arrived)
	case tell:
		m.proven = true
		return true, nil
	case probe:
		return true, l.try(m)
	case reboot, retreat:
		if l.kind == patient && s == reboot && !l.closed {
			l.closed = true
			return true, m.standDown()
		}
		asked, err := m.ask(true)
		return err != nil || !asked, err
	}
	return false, nil
}

func inOrder(acts ...func() error) error {
	for _, act := range acts {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

func (l *life) try(m *machine) error {
	if err := m.startTrial(); err != nil {
		return err
	}
	if m.state.Update.Reason != "" {
		return nil
	}
	if l.kind == good || l.kind == patient {
		return m.commit()
	}
	return m.condemn(Health, "hook 10-net: exit status 1")
}

// run lives until rest.
func (l *life) run(t *testing.T) {
	for l.rounds = 1; l.rounds < 12; l.rounds++ {
		if l.boot(t) {
			return
		}
	}
	t.Fatalf("no rest after %d boots: %v", l.rounds, l.w.boots)
}

// TestEveryFault strikes every durable act of an update with every fault, and looks at where
// the device comes to rest.
func TestEveryFault(t *testing.T) {
	for _, k := range []kind{good, bad, dead, patient} {
		for _, tries := range []int{1, 3} {
			clean := live(t, k, tries, nil)
			checkRest(t, clean.w, k)
			for at := range clean.w.acts {
				for _, f := range []fault{lost, lied, cutHere, cutAfter} {
					if tries > 1 && f != cutHere {
						continue // more tries change what a cut leads to, and nothing else
					}
					t.Run(fmt.Sprintf("%s/tries=%d/%02d %s/%s", k, tries, at+1, clean.w.acts[at], f), func(t *testing.T) {
						checkRest(t, live(t, k, tries, map[int]fault{at + 1: f}).w, k)
					})
				}
			}
		}
	}
}

// TestEveryTwoCuts cuts the power twice: also in the middle of the recovery from a cut. (A cut
// after one act is one before the next.)
func TestEveryTwoCuts(t *testing.T) {
	for _, k := range []kind{good, bad, dead, patient} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			first, apart := len(live(t, k, 1, nil).w.acts), 12 // later ones are cuts for themselves
			if k == patient {
				apart = 6 // no recovery from a cut in a wait takes more
			}
			for at := 1; at <= first; at++ {
				second := len(live(t, k, 1, map[int]fault{at: cutHere}).w.acts)
				for again := at + 1; again <= min(second, at+apart); again++ {
					l := live(t, k, 1, map[int]fault{at: cutHere, again: cutHere})
					if checkRest(t, l.w, k); t.Failed() {
						t.Fatalf("cut at %d and at %d: %v", at, again, l.w.acts)
					}
				}
			}
		})
	}
}

func live(t *testing.T, k kind, tries int, faults map[int]fault) *life {
	t.Helper()
	l := &life{w: newWorld(), kind: k}
	l.w.tries, l.w.faults, l.w.forgetful = tries, faults, k == dead
	l.run(t)
	for at := range faults {
		if len(l.w.acts) < at {
			t.Fatalf("the fault at act %d never struck", at)
		}
	}
	return l
}

// checkRest: the device rests on a slot that is committed and verified, says what happened
// exactly once, and its floor tells the truth.
func checkRest(t *testing.T, w *world, k kind) {
	t.Helper()
	m := w.machine(t)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	if w.boots.Running != w.boots.Committed || w.boots.Trial != "" {
		t.Errorf("not at rest: %+v", w.boots)
	}
	seen, said := map[wire.State]int{}, 0
	for _, e := range w.sent {
		if e.Update != "u1" {
			t.Errorf("event of update %q", e.Update)
		}
		if e.Say == wire.Yes {
			said++
			continue
		}
		seen[e.State]++
	}
	for s, n := range seen {
		if twice := k == patient && (s == wire.Staged || s == wire.Rebooting); twice {
			n = max(1, n-1)
		}
		if n != 1 && !w.lied() { // an append that lied is repeated: at least once is promised then
			t.Errorf("%d events %s: %v", n, s, w.sent)
		}
	}
	end := w.sent[len(w.sent)-1]
	if m.state.State != end.State || !end.State.Final() {
		t.Errorf("state %s, last event %s", m.state.State, end.State)
	}
	switch {
	case end.State == wire.Committed:
		if k != good && k != patient || w.boots.Running != boot.B || m.floor() != 2 || m.record.Counter != 2 || m.record.Slots[boot.B] != release {
			t.Errorf("committed: %+v, record %+v", w.boots, m.record)
		}
	case end.State == wire.RolledBack && (k == good || k == patient):
		// Only a power cut in the trial, or an act of the trial that failed, may cost a good release.
		if len(w.faults) == 0 || w.boots.Running != boot.A || m.floor() != 1 {
			t.Errorf("a good release was rolled back: %v", end)
		}
	case end.State == wire.RolledBack:
		if w.boots.Running != boot.A || m.floor() != 1 {
			t.Errorf("rolled back: %+v, floor %d", w.boots, m.floor())
		}
		if len(w.faults) == 0 && k == bad && (end.Reason != string(Health) || !strings.Contains(end.Detail, "10-net")) {
			t.Errorf("no reason of the hook: %v", end)
		}
	default:
		t.Errorf("ended as %s: %v", end.State, end)
	}
	if k == patient && said == 0 {
		t.Errorf("the answer is lost: %v", w.sent)
	}
	if want := map[kind]int{good: 5, bad: 5, dead: 4, patient: 6}[k]; len(w.faults) == 0 && len(seen) != want {
		t.Errorf("transitions: %v", slices.Sorted(maps.Keys(seen)))
	}
}

func (w *world) lied() bool {
	for _, f := range w.faults {
		if f == lied {
			return true
		}
	}
	return false
}
