package install

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

const (
	journalName = "install"
	maxJournal  = 8 << 10 // bytes of a record
	maxRuns     = 64      // in a record
)

// record says how much of which image is durable in which slot.
type record struct {
	Schema   int             `json:"schema"`
	Slot     string          `json:"slot"`
	Artifact firmware.Digest `json:"artifact"`
	Image    firmware.Digest `json:"image"`
	Durable  ranges          `json:"durable,omitempty"` // bytes of the image
}

func newRecord(slot string, m *firmware.Manifest) record {
	return record{Schema: 2, Slot: slot, Artifact: m.Artifact.SHA256, Image: m.Image.SHA256}
}

// of reports whether r speaks of what other speaks of.
func (r record) of(other record) bool {
	return r.Schema == other.Schema && r.Slot == other.Slot && r.Artifact == other.Artifact && r.Image == other.Image
}

// journal keeps the record of one install.
type journal struct {
	disk durable.Disk
	dir  string
	now  record
}

// bind makes the journal speak of the install that fresh describes, of an image of so many bytes, and returns what is known
// to be durable. When it returns, whatever the journal said of other installs is gone.
func (j *journal) bind(fresh record, length int64) (durableBytes ranges, resumed bool, err error) {
	// The sync is not needed for safety: without its folder there is no record, and nothing counts as durable.
	if err := j.disk.MkdirAll(j.dir, 0o700); err != nil {
		return nil, false, slotError("making the journal's folder", err)
	}
	if err := j.disk.SweepTemps(j.dir); err != nil { // of heads that a crash kept from being kept
		return nil, false, slotError("sweeping the journal's folder", err)
	}
	j.now = fresh
	if old, err := j.load(); err == nil && old.of(fresh) && old.Durable.valid(length) {
		j.now = old
		return old.Durable, true, nil
	}
	if err := j.save(); err != nil {
		return nil, false, slotError("binding the journal to the slot", err)
	}
	return nil, false, nil
}

func (j *journal) load() (record, error) {
	data, err := j.disk.LoadPair(j.dir, journalName)
	if err != nil {
		return record{}, err
	}
	var r record
	err = strictjson.Decode(data, strictjson.Options{MaxBytes: maxJournal}, &r)
	return r, err
}

func (j *journal) save() error {
	data, err := json.Marshal(j.now)
	if err != nil {
		return err
	}
	if err := j.disk.SavePair(j.dir, journalName, data); err != nil {
		return err
	}
	return nil
}

// advance records what is durable. Of more runs than a record holds it says the first: the others are found in the slot.
// What is written anew was durable before, and stays in the record: a reader of the slot finds out about it.
func (j *journal) advance(done ranges) error {
	was := j.now.Durable
	if done = done[:min(len(done), maxRuns)]; done.total() <= was.total() {
		return nil
	}
	j.now.Durable = done
	if err := j.save(); err != nil {
		j.now.Durable = was
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// drop removes the record. Should only one of its two files go, the other says less or the same.
func (j *journal) drop() error {
	for _, generation := range []string{".0", ".1"} {
		if err := j.disk.Remove(filepath.Join(j.dir, journalName+generation)); err != nil {
			return fmt.Errorf("removing the journal: %w", err)
		}
	}
	return nil
}
