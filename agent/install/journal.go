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
	maxJournal  = 4 << 10 // bytes of a record
)

// record says how much of which image is durable in which slot.
type record struct {
	Schema   int             `json:"schema"`
	Slot     string          `json:"slot"`
	Artifact firmware.Digest `json:"artifact"`
	Head     firmware.Digest `json:"head"`
	Image    firmware.Digest `json:"image"`
	Frames   int             `json:"frames"` // leading frames that are durable
}

func newRecord(slot string, m *firmware.Manifest) record {
	return record{Schema: 1, Slot: slot, Artifact: m.Artifact.SHA256, Head: m.Artifact.Head.SHA256, Image: m.Image.SHA256}
}

// journal keeps the record of one install.
type journal struct {
	dir string
	now record
}

// bind makes the journal speak of the install that fresh describes, and returns how many frames are known to be durable.
// When it returns, whatever the journal said of other installs is gone.
func (j *journal) bind(fresh record, frames int) (durableFrames int, resumed bool, err error) {
	if err := durable.MkdirAll(j.dir, 0o700); err != nil {
		return 0, false, slotError("making the journal's folder", err)
	}
	j.now = fresh
	if old, err := j.load(); err == nil {
		j.now.Frames = old.Frames
		if old == j.now && old.Frames >= 0 && old.Frames <= frames {
			return old.Frames, true, nil
		}
		j.now = fresh
	}
	if err := j.save(); err != nil {
		return 0, false, slotError("binding the journal to the slot", err)
	}
	return 0, false, nil
}

func (j *journal) load() (record, error) {
	data, err := durable.LoadPair(j.dir, journalName)
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
	if err := durable.SavePair(j.dir, journalName, data); err != nil {
		return err
	}
	return nil
}

// advance records that the leading frames are durable. It never goes back: frames that are written anew were durable
// before, and a reader of the slot finds out about them.
func (j *journal) advance(frames int) error {
	if frames <= j.now.Frames {
		return nil
	}
	was := j.now.Frames
	j.now.Frames = frames
	if err := j.save(); err != nil {
		j.now.Frames = was
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// drop removes the record. Should only one of its two files go, the other says less or the same.
func (j *journal) drop() error {
	for _, generation := range []string{".0", ".1"} {
		if err := durable.Remove(filepath.Join(j.dir, journalName+generation)); err != nil {
			return fmt.Errorf("removing the journal: %w", err)
		}
	}
	return nil
}
