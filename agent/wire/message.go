package wire

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Schema is the major version that this package speaks: member "s".
const Schema = 1

// Limits, in bytes of JSON unless said otherwise.
const (
	// MaxPayload bounds every MQTT payload and every HTTP body here but the
	// enrolment response. What is sent stays far below it.
	MaxPayload = 64 << 10
	// MaxDirection bounds a signed direction.
	MaxDirection = 16 << 10
	MaxEvent     = 4 << 10
	MaxReported  = 16 << 10
	MaxSmall     = 4 << 10 // Cmd, Reply, Presence, Progress, ErrorBody, ReportsAck

	// MaxEvents is the number of events in one [Reports].
	MaxEvents = 64
	// MaxText bounds Detail, LastError and other words for people.
	MaxText = 512
	// MaxName bounds every other string.
	MaxName = 128
)

// State is where an update stands; the words are those of the agent's own state.
type State string

const (
	Idle        State = "idle"
	Downloading State = "downloading"
	Installing  State = "installing"
	Staged      State = "staged" // the image is in the slot, verified, and cannot be booted
	Rebooting   State = "rebooting"
	Trying      State = "trying"
	Committed   State = "committed"
	Failed      State = "failed"
	RolledBack  State = "rolled_back"
	Rejected    State = "rejected"
)

// Final says whether an update ends in s, whatever was asked for. One that was only to be
// downloaded ends in Staged as well; for others that is a wait before the reboot.
func (s State) Final() bool {
	switch s {
	case Committed, Failed, RolledBack, Rejected:
		return true
	}
	return false
}

// Valid says whether s is one of the states above.
func (s State) Valid() bool {
	switch s {
	case Idle, Downloading, Installing, Staged, Rebooting, Trying:
		return true
	}
	return s.Final()
}

// Say is what people at a device answer.
type Say string

const (
	Yes   Say = "yes"
	Later Say = "later"
	No    Say = "no"
)

// Event is one step of one update, or, with Say, what the people at the device answered to
// it: State is then the one that the update is in, Idle where it has not begun. The outbox
// gives Epoch and Seq. An answer may come twice, under two numbers.
type Event struct {
	Schema  int       `json:"s"`
	Epoch   string    `json:"epoch"` // of the outbox: random, new when its file was lost
	Seq     int64     `json:"seq"`   // from 1, grows within an epoch, gaps allowed
	Time    time.Time `json:"time"`  // of the device's trusted clock
	Update  string    `json:"update"`
	State   State     `json:"state"`
	Product string    `json:"product"`
	From    string    `json:"from"` // version that ran when the update began
	To      string    `json:"to"`   // version it is for
	Reason  string    `json:"reason,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Fetched int64     `json:"fetched,omitempty"` // bytes over the network
	Written int64     `json:"written,omitempty"` // bytes to the slot
	// Unchanged are bytes that the slot held already, Zeroed those that became zeros without being written, Patched
	// those that came out of a patch, written or not.
	Unchanged int64 `json:"unchanged,omitempty"`
	Zeroed    int64 `json:"zeroed,omitempty"`
	Patched   int64 `json:"patched,omitempty"`
	Millis    int64 `json:"millis,omitempty"`  // since the update began
	Dropped   int64 `json:"dropped,omitempty"` // events the full outbox gave up since the last one that said so

	Say   Say       `json:"say,omitempty"`
	Until time.Time `json:"until,omitzero"` // of Later
}

// Reported is what a device says of itself; the whole of it, every time.
type Reported struct {
	Schema    int          `json:"s"`
	Time      time.Time    `json:"time"`
	BootID    string       `json:"boot_id"`
	Agent     string       `json:"agent"` // version of the agent
	Product   string       `json:"product"`
	Hardware  string       `json:"hardware"`
	Serial    string       `json:"serial,omitempty"`
	MAC       string       `json:"mac,omitempty"`
	Version   string       `json:"version"` // of the running image
	Counter   int64        `json:"counter"` // highest release counter committed
	Slot      string       `json:"slot"`    // that runs
	Slots     []SlotStatus `json:"slots,omitempty"`
	State     State        `json:"state"`
	Update    string       `json:"update,omitempty"`
	Direction int64        `json:"direction,omitempty"` // version of the last direction accepted
	Wait      *Wait        `json:"wait,omitempty"`      // what an update or question waits for
	// Offline: the device has obeyed an order to go offline; this is its last word.
	Offline   bool        `json:"offline,omitempty"`
	LastError string      `json:"last_error,omitempty"`
	Link      *LinkStatus `json:"link,omitempty"` // filled in by agent/link
}

// Wait is why a device does not go on.
type Wait struct {
	Update string    `json:"update"`
	For    string    `json:"for"`            // one of the Wait constants
	Until  time.Time `json:"until,omitzero"` // it ends by itself then
}

// What is waited for.
const (
	WaitPeople    = "people"    // an answer at the device, to a question or before the reboot
	WaitWindow    = "window"    // a direction with another window
	WaitDirection = "direction" // the direction has expired: a newer one
)

// SlotStatus is one boot slot.
type SlotStatus struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state,omitempty"` // active, good, trial, bad, staged, empty
}

// LinkStatus is how the device is connected, and what is wrong with that.
type LinkStatus struct {
	Transport string   `json:"transport"`         // one of the Transport constants
	Trouble   []string `json:"trouble,omitempty"` // Trouble constants
}

// Trouble that the link itself finds.
const (
	// TroubleDuplicate: another client uses this device's identity, as a cloned image does.
	TroubleDuplicate = "duplicate_identity"
	// TroubleBlocked: HTTPS passes but MQTT does not.
	TroubleBlocked = "mqtt_blocked"
	// TroubleRefused: the broker refuses this identity.
	TroubleRefused = "mqtt_refused"
)

// Presence says whether a device is connected. Nonce ties an offline to its online.
type Presence struct {
	Schema int       `json:"s"`
	Online bool      `json:"online"`
	Nonce  string    `json:"nonce"` // one per connection
	Time   time.Time `json:"time"`  // for a will: when the connection began
}

// Progress is a hint for people, never for decisions.
type Progress struct {
	Schema int    `json:"s"`
	Update string `json:"update"`
	State  State  `json:"state"`
	Done   int64  `json:"done"`           // bytes
	Total  int64  `json:"total"`          // bytes
	Rate   int64  `json:"rate"`           // bytes per second: over the network, or read back
	Left   int64  `json:"left,omitempty"` // seconds, until the end of this state
}

// Commands.
const (
	CmdReportNow = "report-now" // send Reported again
	CmdCheck     = "check"      // look for a direction and new metadata now
	CmdPing      = "ping"
	CmdPause     = "pause"  // fetch nothing of an image until CmdResume, or the agent's next start
	CmdResume    = "resume" // go on
)

// Commands are the names of all of them.
func Commands() []string { return []string{CmdCheck, CmdReportNow, CmdPing, CmdPause, CmdResume} }

// Cmd asks a device for something now. One that has expired is ignored; one whose ID was
// answered already is answered again without being done again.
type Cmd struct {
	Schema  int       `json:"s"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
}

// Reply answers the Cmd of the same ID.
type Reply struct {
	Schema int    `json:"s"`
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

func checkSchema(s int) error {
	if s != Schema {
		return fmt.Errorf("schema %d is not known here, only %d", s, Schema)
	}
	return nil
}

func (e Event) check() error {
	return cmp.Or(
		checkSchema(e.Schema), CheckID(e.Epoch), atLeast("seq", e.Seq, 1), e.checkContent())
}

// checkContent leaves out what the outbox fills in.
func (e Event) checkContent() error {
	return cmp.Or(
		checkTime(e.Time), e.State.check(), need("update", e.Update),
		names("product", e.Product, "from", e.From, "to", e.To, "reason", e.Reason),
		text("detail", e.Detail), e.checkAnswer(),
		atLeast("fetched", e.Fetched, 0), atLeast("written", e.Written, 0),
		atLeast("unchanged", e.Unchanged, 0), atLeast("zeroed", e.Zeroed, 0), atLeast("patched", e.Patched, 0), atLeast("millis", e.Millis, 0), atLeast("dropped", e.Dropped, 0))
}

func (e Event) checkAnswer() error {
	switch {
	case e.Say != "" && e.Say != Yes && e.Say != Later && e.Say != No:
		return fmt.Errorf("say %.40q is none of the known answers", string(e.Say))
	case e.Say == Later && checkTime(e.Until) != nil:
		return fmt.Errorf("until, of the answer later: %w", checkTime(e.Until))
	case e.Say == Later:
		return nil
	case !e.Until.IsZero():
		return errors.New("until goes with the answer later, and no other")
	}
	return nil
}

func (s State) check() error {
	if !s.Valid() {
		return fmt.Errorf("state %.40q is none of the known ones", string(s))
	}
	return nil
}

func (r Reported) check() error {
	return cmp.Or(
		checkSchema(r.Schema), checkTime(r.Time), r.State.check(),
		names("boot_id", r.BootID, "agent", r.Agent, "product", r.Product, "hardware", r.Hardware,
			"serial", r.Serial, "mac", r.MAC, "version", r.Version, "slot", r.Slot, "update", r.Update),
		text("last_error", r.LastError), atLeast("counter", r.Counter, 0),
		atLeast("direction", r.Direction, 0), r.checkSlots(), r.Wait.check(), r.Link.check())
}

func (r Reported) checkSlots() error {
	if len(r.Slots) > 8 {
		return fmt.Errorf("slots has %d entries, more than 8", len(r.Slots))
	}
	for _, s := range r.Slots {
		if err := names("slot name", s.Name, "slot version", s.Version, "slot state", s.State); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wait) check() error {
	if w == nil {
		return nil
	}
	return cmp.Or(need("wait update", w.Update), need("wait for", w.For))
}

func (l *LinkStatus) check() error {
	if l == nil {
		return nil
	}
	if len(l.Trouble) > 8 {
		return fmt.Errorf("trouble has %d entries, more than 8", len(l.Trouble))
	}
	for _, t := range l.Trouble {
		if err := names("trouble", t); err != nil {
			return err
		}
	}
	return names("transport", l.Transport)
}

func (p Presence) check() error {
	return cmp.Or(checkSchema(p.Schema), CheckID(p.Nonce), checkTime(p.Time))
}

func (p Progress) check() error {
	return cmp.Or(
		checkSchema(p.Schema), need("update", p.Update), p.State.check(),
		atLeast("done", p.Done, 0), atLeast("total", p.Total, 0), atLeast("rate", p.Rate, 0), atLeast("left", p.Left, 0))
}

func (c Cmd) check() error {
	return cmp.Or(checkSchema(c.Schema), CheckID(c.ID), need("name", c.Name), checkTime(c.Expires))
}

func (r Reply) check() error {
	return cmp.Or(checkSchema(r.Schema), CheckID(r.ID), text("detail", r.Detail))
}
