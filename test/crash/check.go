package crash

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
)

// check says what is wrong with a medium before anything starts on it.
func (d *Device) check(m *Medium, promises []op) error {
	disk := durable.Disk{FS: NewDisk(m)}
	f, err := d.Kind.open(disk, boot.A)
	if err != nil {
		return err
	}
	b, err := f.State()
	if err != nil {
		return fmt.Errorf("the boot state cannot be read: %w", err)
	}
	return errors.Join(d.checkSlots(m, b), d.checkJournal(m, disk), d.checkPromises(m, disk, b, promises))
}

func (d *Device) checkSlots(m *Medium, b boot.State) error {
	if b.Lost {
		if d.LostOK {
			return nil
		}
		return errors.New("the boot state is lost")
	}
	for _, s := range []boot.Slot{boot.A, boot.B} {
		if (b.Of(s).Bootable || s == b.Committed) && d.image(m, slotIndex(s)) == nil {
			return fmt.Errorf("slot %s is bootable and holds no whole image: %+v", s, b)
		}
	}
	return nil
}

// checkJournal compares the slot with what the journal says is durable in it.
func (d *Device) checkJournal(m *Medium, disk durable.Disk) error {
	var j journal
	if err := readPair(disk, stateDir+"/journal", "install", &j); err != nil {
		return nil
	}
	for _, i := range d.Images {
		if i.sha256 != j.Image {
			continue
		}
		got, want := make([]byte, page), &Medium{}
		want.slots[0] = i.leaves
		wanted := make([]byte, page)
		slot := int(j.Slot[0] - 'a')
		for _, e := range j.Durable {
			for at := e.At; at < e.At+e.Length; at += page {
				n := min(page, e.At+e.Length-at)
				m.readSlot(slot, at, got[:n])
				want.readSlot(0, at, wanted[:n])
				if !bytes.Equal(got[:n], wanted[:n]) {
					return fmt.Errorf("the journal calls byte %d of slot %s durable, and it is not", at, j.Slot)
				}
			}
		}
	}
	return nil
}

// checkPromises looks for what was promised before the cut.
func (d *Device) checkPromises(m *Medium, disk durable.Disk, b boot.State, promises []op) error {
	var events []wire.Event
	var bootState *boot.State
	var counter int64
	var trust *floors
	for _, p := range promises {
		switch p := p.mark.(type) {
		case bootBegins:
			bootState = nil
		case bootPromised:
			bootState = &p.State
		case eventKept:
			events = append(events, p.Event)
		case floorKept:
			counter = max(counter, p.counter)
		case trustKept:
			trust = &p.floors
		}
	}
	if bootState != nil && d.Kind != fileBoot {
		b.Running = bootState.Running // the kernel tells it, not the disk
	}
	if bootState != nil && *bootState != b {
		return fmt.Errorf("the bootloader promised %+v and says %+v", *bootState, b)
	}
	if counter > 0 {
		if r, err := readRecord(disk); err != nil || r.Counter < counter {
			return fmt.Errorf("the release counter was %d and is %d (%v)", counter, r.Counter, err)
		}
	}
	if trust != nil {
		if f, err := readFloors(disk); err != nil || f.below(*trust) {
			return fmt.Errorf("the floors of metadata were %+v and are %+v (%v)", *trust, f, err)
		}
	}
	return d.checkEvents(m, disk, events)
}

// checkEvents looks for events in the outbox.
func (d *Device) checkEvents(m *Medium, disk durable.Disk, events []wire.Event) error {
	if len(events) == 0 {
		return nil
	}
	held, err := d.events(m, disk)
	if err != nil {
		return err
	}
	for _, e := range events {
		if !held[eventName(e)] {
			return fmt.Errorf("the event %s, number %d, was kept and is gone", e.State, e.Seq)
		}
	}
	return nil
}

func eventName(e wire.Event) string { return fmt.Sprint(e.Epoch, e.Seq, e.State) }

// events are those in the outbox of a medium.
func (d *Device) events(m *Medium, disk durable.Disk) (map[string]bool, error) {
	raw, err := m.ReadFile(stateDir + "/outbox")
	if err != nil {
		return nil, nil
	}
	sum := sumOf(raw)
	if held, ok := d.held.Load(sum); ok {
		return held.(map[string]bool), nil
	}
	out, err := outbox.Open(stateDir, outbox.Options{Disk: disk, Names: &names{}})
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for out.Len() > 0 {
		some := out.Next(1000, 1<<30)
		for _, e := range some {
			held[eventName(e)] = true
		}
		out.Ack(some[len(some)-1].Epoch, some[len(some)-1].Seq)
	}
	d.held.Store(sum, held)
	return held, nil
}
