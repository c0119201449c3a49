package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

const (
	stateName  = "state"
	recordName = "record"
	schema     = 1
	maxEnded   = 32 // update names remembered after their end
)

// state is the file "state": where the update stands. Unknown members are ignored, so that
// an older agent, back after a rollback, reads what a newer one left.
type state struct {
	Schema int        `json:"schema"`
	State  wire.State `json:"state"`
	Since  time.Time  `json:"since"` // by the device's trusted clock
	Update update     `json:"update"`
	// Mark is where in the outbox the event of this state goes. It is compared at a
	// start: an outbox that has passed it holds the event already.
	Mark mark `json:"mark"`
	// Ended are updates that are over, the newest last. None is begun again.
	Ended []string `json:"ended,omitempty"`
	// Floor is the release counter that record holds as well.
	Floor int64 `json:"floor"`
	// Question is what the people at the device are asked, or have agreed to.
	Question *question `json:"question,omitempty"`
	// Trouble is what was in the way last, until it no longer is.
	Trouble *trouble `json:"trouble,omitempty"`
}

// trouble is an error for people, with the time when it was first met.
type trouble struct {
	Reason Reason    `json:"reason"`
	Text   string    `json:"text"`
	Since  time.Time `json:"since"`
}

func (t *trouble) String() string {
	if t == nil {
		return ""
	}
	return t.Text
}

type mark struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// update is one attempt at one release.
type update struct {
	ID      string `json:"id"`
	Local   bool   `json:"local,omitempty"` // wished for at the command line, not by the director
	Product string `json:"product"`
	From    string `json:"from"`
	To      string `json:"to"`
	// Hardware is what the director took the device for.
	Hardware string    `json:"hardware,omitempty"`
	Target   target    `json:"target"`
	Expires  time.Time `json:"expires,omitzero"` // of the direction
	Began    time.Time `json:"began"`
	terms

	// Slot and Release are known once the policy has agreed.
	Slot    boot.Slot `json:"slot,omitempty"`
	Release Release   `json:"release,omitzero"`

	Attempts int `json:"attempts,omitempty"` // in a row, without progress
	Took

	Reached bool `json:"reached,omitempty"` // the service was reached before the reboot
	Tried   bool `json:"tried,omitempty"`   // the bootloader was told
	Asked   int  `json:"asked,omitempty"`   // reboots asked for
	Starts  int  `json:"starts,omitempty"`  // of the agent within the trial

	Reason Reason `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Took is what an update took, in bytes.
type Took struct {
	Fetched   int64 `json:"fetched,omitempty"`   // over the network
	Written   int64 `json:"written,omitempty"`   // to the slot
	Unchanged int64 `json:"unchanged,omitempty"` // that the slot held already
	Zeroed    int64 `json:"zeroed,omitempty"`    // made zeros without being written
	Patched   int64 `json:"patched,omitempty"`   // that came out of a patch, written or not
}

// and adds what an attempt took.
func (t Took) and(r install.Result) Took {
	return Took{t.Fetched + r.Fetched, t.Written + r.Written, t.Unchanged + r.Unchanged, t.Zeroed + r.Zeroed, t.Patched + r.Patched}
}

// target is direction.Target with names of its own for the file.
type target struct {
	Path    string          `json:"path"`
	Length  int64           `json:"length"`
	SHA256  firmware.Digest `json:"sha256"`
	Counter int64           `json:"counter"`
}

// Release is what a slot holds.
type Release struct {
	Product string        `json:"product,omitempty"`
	Version string        `json:"version"`
	Counter int64         `json:"counter"`
	Image   firmware.Blob `json:"image"`
	Update  string        `json:"update,omitempty"` // that brought it
}

// record is the file "record": what outlives the state file.
type record struct {
	Schema int `json:"schema"`
	// Counter is the highest release counter ever committed. It never falls.
	Counter int64 `json:"counter"`
	// Slots are what is known of the slots; a slot that is being written is not in it.
	Slots map[boot.Slot]Release `json:"slots"`
	// Ended is the update that was rolled back last: it must not begin again because the
	// state was lost.
	Ended string `json:"ended,omitempty"`
}

// over says whether the update has ended. One that was only to be downloaded ends staged.
func (s state) over() bool {
	return s.State.Final() || s.State == wire.Staged && s.Update.Kind == direction.DownloadOnly
}

// busy says whether an update is under way.
func (s state) busy() bool { return s.State != wire.Idle && !s.over() }

// moving says whether the update does anything but wait in its slot.
func (s state) moving() bool { return s.busy() && s.State != wire.Staged }

// revocable says whether the update gives way to another direction at once.
func (s state) revocable() bool {
	return s.State == wire.Downloading || s.State == wire.Installing || s.State == wire.Staged && s.busy()
}

func (s state) ended(id string) bool { return slices.Contains(s.Ended, id) }

// end remembers that the update is over. Its question is over, too; what was agreed to holds
// for another attempt if this one was taken back.
func (s *state) end() {
	if q := s.Question; q != nil && (q.Update == s.Update.ID || q.Target == s.Update.Target.SHA256) {
		s.Question = nil
		if s.Update.Reason == Superseded {
			s.Question = q.rest()
		}
	}
	if s.Update.ID != "" && !s.ended(s.Update.ID) {
		s.Ended = append(s.Ended, s.Update.ID)
		s.Ended = s.Ended[max(0, len(s.Ended)-maxEnded):]
	}
}

// files keeps small things through a power cut.
type files interface {
	// Load returns what was saved last; fs.ErrNotExist if nothing was, and
	// durable.ErrCorrupt if nobody can read it any more.
	Load(name string) ([]byte, error)
	// Save is durable when it returns nil. After an error the old or the new holds.
	Save(name string, data []byte) error
}

// folder is the files of a device: two copies of each.
type folder struct {
	disk durable.Disk
	dir  string
}

func (a *Agent) folder() folder { return folder{a.o.Disk, a.cfg.State} }

func (f folder) Load(name string) ([]byte, error)    { return f.disk.LoadPair(f.dir, name) }
func (f folder) Save(name string, data []byte) error { return f.disk.SavePair(f.dir, name, data) }

// lostError: a file is there and says nothing.
type lostError struct {
	name string
	err  error
}

func (e *lostError) Error() string { return fmt.Sprintf("the agent's %s is lost: %v", e.name, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// load reads a file into v. found is false for a file that is not there and for one that
// nobody can read, which is the same to a device that has to go on; the error tells them
// apart.
func load(f files, name string, v any) (found bool, err error) {
	b, err := f.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, durable.ErrCorrupt) {
		return false, &lostError{name, err}
	}
	if err != nil {
		return false, err
	}
	if err := strictjson.Decode(b, strictjson.Options{AllowNull: true}, v); err != nil {
		return false, &lostError{name, err}
	}
	return true, nil
}

func loadState(f files) (state, error) {
	var s state
	found, err := load(f, stateName, &s)
	if found && (s.Schema < 1 || !s.State.Valid()) {
		found, err = false, &lostError{stateName, fmt.Errorf("schema %d, state %.40q", s.Schema, s.State)}
	}
	if !found {
		s = state{Schema: schema, State: wire.Idle}
	}
	return s, err
}

func loadRecord(f files) (record, error) {
	var r record
	found, err := load(f, recordName, &r)
	if !found {
		r = record{Schema: schema}
	}
	if r.Slots == nil {
		r.Slots = map[boot.Slot]Release{}
	}
	return r, err
}

func saveState(f files, s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return f.Save(stateName, b)
}

// saveRecord saves twice: were only one copy new, its rot would bring the lower floor back.
func saveRecord(f files, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := f.Save(recordName, b); err != nil {
		return err
	}
	return f.Save(recordName, b)
}
