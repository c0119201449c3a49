package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

const (
	answerName = "answer.json"
	maxAnswer  = 1 << 10
)

// question is what the people at the device are asked, and what they said.
type question struct {
	Update   string          `json:"update"` // empty: nobody asks any more, and the yes is kept
	Ask      bool            `json:"ask,omitempty"`
	Target   firmware.Digest `json:"target"` // the manifest's
	Product  string          `json:"product"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Notes    string          `json:"notes,omitempty"`
	Deadline time.Time       `json:"deadline,omitzero"`

	Say   wire.Say  `json:"say,omitempty"`
	Until time.Time `json:"until,omitzero"` // of later
}

// live says whether there is something to answer.
func (q *question) live() bool { return q != nil && q.Update != "" }

func (q *question) agreed() bool { return q != nil && q.Say == wire.Yes }

// pending says whether an answer is wanted: none was given, or it has run out.
func (q *question) pending(now time.Time) bool {
	return q.Say == "" || q.Say == wire.Later && !now.Before(q.Until)
}

// stands says whether d still asks q, or needs its yes.
func (q *question) stands(d direction.Direction) bool {
	switch {
	case d.Target == nil:
		return !q.live()
	case d.Kind == direction.Soft:
		return q.Update == d.Update || q.agreed() && q.Target == d.Target.SHA256
	}
	return d.Kind == direction.Ask && q.Update == d.Update
}

// rest is what remains when a question is no longer asked: a yes is to the release, and holds
// until another is asked for.
func (q *question) rest() *question {
	if !q.agreed() {
		return nil
	}
	kept := *q
	kept.Update = ""
	return &kept
}

// pose asks the people at the device. What they answered to the same update stands, and so
// does, before a direction, a yes to the same release.
func (m *machine) pose(q question) error {
	if old := m.state.Question; old != nil {
		if old.Update == q.Update || !q.Ask && old.agreed() && old.Target == q.Target {
			q.Say, q.Until = old.Say, old.Until
		}
		if *old == q {
			return nil
		}
	}
	return m.setQuestion(&q)
}

func (m *machine) setQuestion(q *question) error {
	next := m.state
	next.Question = q
	if err := m.save(next); err != nil {
		return err
	}
	if m.told != nil {
		m.told()
	}
	return nil
}

// dismiss takes back a question that d does not ask.
func (m *machine) dismiss(d direction.Direction) error {
	q := m.state.Question
	switch {
	case q == nil || q.stands(d):
		return nil
	case d.Target == nil:
		return m.setQuestion(q.rest())
	}
	return m.setQuestion(nil)
}

// answer is the file that Answer leaves to the daemon.
type answer struct {
	Schema int       `json:"schema"`
	Update string    `json:"update"`
	Say    wire.Say  `json:"say"`
	Until  time.Time `json:"until,omitzero"`
}

// answered takes an answer: first its event, then the state. A crash between the two sends it
// twice, which says nothing new.
func (m *machine) answered(a answer) error {
	q := m.state.Question
	if !q.live() || q.Update != a.Update || m.state.begun(a.Update) || q.Say == a.Say && q.Until.Equal(a.Until) {
		return nil
	}
	e := wire.Event{Schema: wire.Schema, Time: m.now(), Update: q.Update, State: wire.Idle, Product: q.Product,
		From: q.From, To: q.To, Say: a.Say, Until: a.Until}
	if m.state.Update.ID == q.Update {
		e.State = m.state.State
	}
	m.unsent = append(m.unsent, e)
	if m.deliver(); len(m.unsent) > 0 {
		m.unsent = m.unsent[:len(m.unsent)-1] // it is still in its file
		return errors.New("keep the answer for the service: the outbox does not take it")
	}
	said := *q
	said.Say, said.Until = a.Say, a.Until
	return m.setQuestion(&said)
}

// Answer answers, for the people at the device, the question that Status shows. later is
// for Later, and ends at the deadline at the latest. It may be called while the agent runs,
// which then takes it up within a second. ErrNothing if nothing is asked.
func (a *Agent) Answer(say wire.Say, later time.Duration) (Question, error) {
	s, err := a.Status()
	if err != nil {
		return Question{}, err
	}
	q := s.Question
	if q == nil {
		return Question{}, fmt.Errorf("%w: nothing is asked at this device", ErrNothing)
	}
	w := answer{Schema: schema, Update: q.Update, Say: say}
	if say == wire.Later {
		if later <= 0 {
			return *q, errors.New("say for how long the update is to be put off, such as 8h")
		}
		w.Until = a.clock().Add(later).Truncate(time.Second)
		if !q.Deadline.IsZero() && w.Until.After(q.Deadline) {
			w.Until = q.Deadline
		}
	}
	b, err := json.Marshal(w)
	if err != nil {
		return *q, err
	}
	q.take(w)
	return *q, a.o.Disk.WriteFile(a.path(answerName), b, 0o600)
}

// hearAnswer looks whether somebody has answered. The file goes when what it says is kept.
func (l *loop) hearAnswer() {
	path := l.path(answerName)
	a, err := l.readAnswer()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		l.o.Log.Warn("an answer cannot be read and is dropped", "file", path, "error", err)
	} else if err := l.m.answered(a); err != nil {
		l.stumble(err)
		return
	}
	if err := l.o.Disk.Remove(path); err != nil {
		l.o.Log.Warn("remove the answer", "error", err)
	}
}

func (a *Agent) readAnswer() (answer, error) {
	var w answer
	f, err := a.o.Disk.Open(a.path(answerName))
	if err != nil {
		return w, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err == nil {
		err = strictjson.Decode(b, strictjson.Options{MaxBytes: maxAnswer}, &w)
	}
	return w, err
}

// ask makes sure that what is asked about is genuine and for this device, and asks then.
func (l *loop) ask(b boot.State, d direction.Direction) {
	if q := l.m.state.Question; q.live() && q.Update == d.Update {
		again := *q
		again.Deadline = d.DeferUntil
		l.end(l.m.pose(again))
		return
	}
	if l.up == nil || l.paused {
		l.next = &d
		return
	}
	at := l.newAttempt(b, l.up.repo, l.up.source)
	at.wish = wish{hardware: d.Hardware, target: target(*d.Target)}
	at.device.capacity = math.MaxInt64
	var m *firmware.Manifest
	l.start(func(ctx context.Context) (err error) {
		if err := stale(d.Expires, l.now()); err != nil {
			return err
		}
		if m, err = decide(ctx, at.wish, at.device, at.repo); err == nil && at.runs.is(m) {
			err = errAlready
		}
		return err
	}, func(err error) { l.judged(d, at.runs.Version, m, err) })
}

// judged asks, tries again later, or says why nobody is asked.
func (l *loop) judged(d direction.Direction, from string, m *firmware.Manifest, err error) {
	never := update{ID: d.Update, Hardware: d.Hardware, Target: target(*d.Target), Expires: d.Expires, terms: termsOf(d), From: from}
	never.Product, never.To, _ = firmware.ParseTargetPath(d.Target.Path)
	reason := ReasonOf(err)
	switch {
	case l.leave:
		return
	case l.next != nil: // another direction came meanwhile
	case err == nil:
		l.asks = 0
		l.end(l.m.pose(never.question(true, m.Notes)))
	case errors.Is(err, errAlready):
		l.end(l.m.dispose(never, wire.Committed, "", err.Error()))
	default:
		l.trouble(err)
		if l.asks++; l.asks < reason.attempts(l.o.Retry.Attempts) {
			l.next = &d
			l.pause(max(l.o.Retry.wait(l.asks, l.o.Rand), retryAfter(err)))
			return
		}
		l.asks = 0
		l.end(l.m.dispose(never, reason.end(), reason, err.Error()))
	}
	l.advance()
}

// question about u.
func (u update) question(ask bool, notes string) question {
	return question{Update: u.ID, Ask: ask, Target: u.Target.SHA256, Product: u.Product, From: u.From, To: u.To, Notes: notes, Deadline: u.DeferUntil}
}

// dispose ends an update that never began.
func (m *machine) dispose(u update, to wire.State, reason Reason, detail string) error {
	u.Began, u.Reason, u.Detail = m.now(), reason, wire.Text(detail)
	return m.enter(to, func(is *update) { *is = u })
}
