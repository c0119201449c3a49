package agent

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
)

// Status is what the state folder and the bootloader say. It can be asked for while the
// agent runs.
type Status struct {
	Agent    string `json:"agent"` // version
	Running  bool   `json:"agent_running"`
	Enabled  bool   `json:"enabled"` // the cloud connection
	Device   string `json:"device,omitempty"`
	Product  string `json:"product"`
	Hardware string `json:"hardware"`
	Version  string `json:"version"` // that runs
	Floor    int64  `json:"floor"`   // release counter below which nothing is installed
	Outcome
	Since time.Time `json:"since,omitzero"` // of the state
	// Wait is what the update, or a question before it, waits for.
	Wait     *wire.Wait `json:"wait,omitempty"`
	Question *Question  `json:"question,omitempty"` // what the people at the device may answer
	// Offline: the director has switched the cloud connection off.
	Offline bool       `json:"offline,omitempty"`
	Trouble *Trouble   `json:"trouble,omitempty"`
	Outbox  int        `json:"outbox"` // events that the service has not acknowledged
	Slots   []SlotInfo `json:"slots"`
}

// Question is an update that the people at the device may agree to or put off.
type Question struct {
	Update   string    `json:"update"`
	Product  string    `json:"product"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Notes    string    `json:"notes,omitempty"`   // of the release, for people
	Deadline time.Time `json:"deadline,omitzero"` // until when it may be put off
	Pending  bool      `json:"pending"`           // an answer is wanted
	Say      wire.Say  `json:"say,omitempty"`     // what was answered last
	Until    time.Time `json:"until,omitzero"`    // of later
}

// asked is what is shown of the question: nothing once it is too late to answer.
func (s state) asked(now time.Time) *Question {
	q := s.Question
	if !q.live() || s.begun(q.Update) || !q.Deadline.IsZero() && !now.Before(q.Deadline) {
		return nil
	}
	return &Question{Update: q.Update, Product: q.Product, From: q.From, To: q.To, Notes: q.Notes, Deadline: q.Deadline,
		Pending: q.pending(now), Say: q.Say, Until: q.Until}
}

func (q *Question) take(w answer) { q.Say, q.Until, q.Pending = w.Say, w.Until, false }

// Trouble is what was in the way last.
type Trouble struct {
	Reason Reason    `json:"reason"`
	Text   string    `json:"text"`
	Since  time.Time `json:"since"`
}

// SlotInfo is one slot.
type SlotInfo struct {
	Slot      boot.Slot `json:"slot"`
	Path      string    `json:"path"`
	Capacity  int64     `json:"capacity"` // bytes; 0 if it cannot be opened
	Running   bool      `json:"running"`
	Committed bool      `json:"committed"`
	Trial     bool      `json:"trial"`
	TriesLeft int       `json:"tries_left,omitempty"`
	Bootable  bool      `json:"bootable"`
	Failed    bool      `json:"failed"` // its last trial
	Version   string    `json:"version,omitempty"`
	Counter   int64     `json:"counter,omitempty"`
	Image     string    `json:"image,omitempty"` // SHA-256, if known
	Problem   string    `json:"problem,omitempty"`
}

// look reads what there is without taking the state folder.
func (a *Agent) look() (*machine, boot.State, error) {
	m := &machine{
		files: a.folder(), boot: a.boot, log: a.o.Log,
		native: Release{Product: a.cfg.Product, Version: a.cfg.Factory.Version, Counter: a.cfg.Factory.Counter, Image: a.cfg.Factory.Image},
	}
	var err error
	if m.state, err = loadState(m.files); err != nil && !m.lost(err) {
		return nil, boot.State{}, err
	}
	if m.record, err = loadRecord(m.files); err != nil && !m.lost(err) {
		return nil, boot.State{}, err
	}
	b, err := a.boot.State()
	if err != nil {
		return nil, b, fmt.Errorf("ask the bootloader for its state: %w", err)
	}
	return m, b, nil
}

// Status tells how this device is.
func (a *Agent) Status() (Status, error) {
	m, b, err := a.look()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Agent: a.o.Version, Running: a.locked(), Enabled: a.enabled(), Product: a.cfg.Product, Hardware: a.cfg.Hardware,
		Version: m.holds(b.Running, b.Running).Version, Floor: m.floor(),
		Outcome: m.outcome(), Since: m.state.Since, Slots: a.slots(m, b),
	}
	now := a.clock()
	s.Wait, s.Question, s.Offline = m.state.waits(now), m.state.asked(now), a.cloud().Off
	if w, err := a.readAnswer(); err == nil && s.Question != nil && w.Update == s.Question.Update {
		s.Question.take(w) // the daemon will, in a second
	}
	if t := m.state.Trouble; t != nil {
		s.Trouble = &Trouble{t.Reason, t.Text, t.Since}
	}
	if id, err := a.loadIdentity(); err == nil {
		s.Device = id.Device
	}
	if out, err := outbox.Open(a.cfg.State, outbox.Options{Disk: a.o.Disk}); err == nil {
		s.Outbox = out.Len()
	}
	return s, nil
}

// Slots tells what each slot is.
func (a *Agent) Slots() ([]SlotInfo, error) {
	m, b, err := a.look()
	if err != nil {
		return nil, err
	}
	return a.slots(m, b), nil
}

func (a *Agent) slots(m *machine, b boot.State) []SlotInfo {
	var all []SlotInfo
	for _, s := range []boot.Slot{boot.A, boot.B} {
		holds, known := m.holds(s, b.Running), b.Of(s)
		i := SlotInfo{
			Slot: s, Path: a.cfg.Slots.Path(s), Running: s == b.Running, Committed: s == b.Committed && !b.Lost,
			Trial: s == b.Trial, Bootable: known.Bootable, Failed: known.Failed, Version: holds.Version, Counter: holds.Counter,
		}
		if i.Trial {
			i.TriesLeft = b.TriesLeft
		}
		if !holds.Image.SHA256.IsZero() {
			i.Image = holds.Image.SHA256.String()
		}
		d, err := a.o.OpenSlot(i.Path, install.SlotOptions{ReadOnly: true, Capacity: a.cfg.SlotSize})
		if err != nil {
			i.Problem = err.Error()
		} else {
			i.Capacity = d.Capacity()
			d.Close()
		}
		all = append(all, i)
	}
	return all
}

// locked says whether somebody holds the lock of the state folder. It looks into the kernel's list,
// because to try the lock would keep an agent that starts at that moment from having it.
func (a *Agent) locked() bool {
	info, err := a.o.Disk.Stat(a.path(lockName))
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	f, err := os.Open("/proc/locks")
	if !ok || err != nil {
		return false
	}
	defer f.Close()
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 708 00:13:12345 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) > 5 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], inode) {
			return true
		}
	}
	return false
}
