package director

import (
	"context"
	"fmt"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Message takes one MQTT message from a device. It returns after the content is on disk.
// Errors of type *Error: CodeBadRequest for what is no message of that leaf, CodeBusy for
// too many.
func (d *Director) Message(ctx context.Context, id Identity, leaf string, payload []byte) error {
	if err := d.allow(id.Device, 1); err != nil {
		return err
	}
	take, err := d.decode(id, leaf, payload)
	if err != nil {
		d.stats.Refused.Add(1)
		return refuse(wire.CodeBadRequest, "message of device %s on %s: %v", id.Device, leaf, err)
	}
	if take == nil {
		return nil
	}
	return d.update(ctx, id, take)
}

// intake is one thing to be stored.
type intake func(tx *store.Tx) (healed bool, err error)

// update stores it, and tells of the direction that was issued to heal a device.
func (d *Director) update(ctx context.Context, id Identity, take intake) error {
	var healed bool
	err := d.Store.Update(ctx, func(tx *store.Tx) (err error) {
		healed, err = take(tx)
		return err
	})
	if err == nil && healed {
		d.told(id.Device)
	}
	if err == nil {
		d.stir()
	}
	return err
}

// decode returns what is to be stored; nil for nothing.
func (d *Director) decode(id Identity, leaf string, payload []byte) (intake, error) {
	touch := func(tx *store.Tx) (bool, error) { return false, tx.Touch(id.Device, d.Clock()) }
	switch leaf {
	case wire.LeafEvent:
		e, err := wire.DecodeEvent(payload)
		return func(tx *store.Tx) (bool, error) { return false, d.event(tx, id, e) }, err
	case wire.LeafReported:
		r, err := wire.DecodeReported(payload)
		return func(tx *store.Tx) (bool, error) { return d.reported(tx, id, r) }, err
	case wire.LeafPresence:
		// Who is connected the broker knows better; this only shows a sign of life.
		_, err := wire.DecodePresence(payload)
		return touch, err
	case wire.LeafReply:
		r, err := wire.DecodeReply(payload)
		if err == nil {
			d.answers.heard(id.Device, r)
		}
		return touch, err
	case wire.LeafProgress:
		p, err := wire.DecodeProgress(payload)
		if err == nil {
			d.talkOf(id.Device).setProgress(&p)
		}
		return nil, err
	}
	return nil, fmt.Errorf("devices do not publish there")
}

// Reports takes what a device says over HTTPS, all of it or nothing.
func (d *Director) Reports(ctx context.Context, id Identity, r wire.Reports) (wire.ReportsAck, error) {
	if err := d.allow(id.Device, 1+len(r.Events)); err != nil {
		return wire.ReportsAck{}, err
	}
	var ack wire.ReportsAck
	err := d.update(ctx, id, func(tx *store.Tx) (bool, error) {
		for _, e := range r.Events {
			if err := d.event(tx, id, e); err != nil {
				return false, err
			}
			ack.Seq = e.Seq
		}
		if r.Reported != nil {
			return d.reported(tx, id, *r.Reported)
		}
		return false, tx.Touch(id.Device, d.Clock())
	})
	return ack, err
}

// event stores one event and what it says of its update.
func (d *Director) event(tx *store.Tx, id Identity, e wire.Event) error {
	body, err := wire.Encode(e)
	if err != nil {
		return err
	}
	added, err := tx.AddEvent(id.Device, e.Epoch, e.Seq, body, d.Clock())
	if err != nil {
		return err
	}
	if !added {
		d.stats.Duplicates.Add(1)
		return nil
	}
	d.stats.Events.Add(1)
	if d.talkOf(id.Device).pruneNow() {
		if err := tx.PruneEvents(id.Device, keepEvents); err != nil {
			return err
		}
	}
	if err := d.moveUpdate(tx, id, e); err != nil {
		return err
	}
	if err := d.eventNotes(tx, id.Device, e); err != nil {
		return err
	}
	return tx.Touch(id.Device, d.Clock())
}

// moveUpdate moves the update that e is about. Updates that the director has not begun, and
// other devices' updates, are left alone; so is one of which the device has told the end,
// and one of which a later event has come already. An answer is no step.
func (d *Director) moveUpdate(tx *store.Tx, id Identity, e wire.Event) error {
	u, err := tx.Update(e.Update)
	if isNotFound(err) || err == nil && u.Device != id.Device {
		return nil
	}
	if err != nil {
		return err
	}
	if wire.State(u.State).Final() && u.Epoch != "" || u.Epoch == e.Epoch && e.Seq < u.Seq || e.Say != "" {
		return nil
	}
	if e.From != "" {
		u.Previous = e.From
	}
	u.State, u.Reason, u.Detail, u.Epoch, u.Seq, u.Changed = string(e.State), e.Reason, e.Detail, e.Epoch, e.Seq, d.Clock()
	u.Fetched, u.Written, u.Millis = max(u.Fetched, e.Fetched), max(u.Written, e.Written), max(u.Millis, e.Millis)
	if e.State.Final() {
		d.talkOf(id.Device).setProgress(nil)
	}
	return tx.SetUpdate(u)
}

// reported stores the newest state. A device that has accepted a later direction than
// ours shows that the database went back in time: it gets a later one.
func (d *Director) reported(tx *store.Tx, id Identity, r wire.Reported) (healed bool, err error) {
	body, err := wire.Encode(r)
	if err != nil {
		return false, err
	}
	old, err := tx.Device(id.Device)
	if err != nil {
		return false, err
	}
	row := store.Device{Reported: body, Version: r.Version, Counter: r.Counter, State: string(r.State), Accepted: r.Direction, Agent: r.Agent}
	if err := tx.SetReported(id.Device, row, d.Clock()); err != nil {
		return false, err
	}
	if err := d.cloudFollows(tx, old, r); err != nil {
		return false, err
	}
	if old.Version != r.Version || old.Counter != r.Counter || old.Agent != r.Agent || old.CloudOff != r.Offline {
		if err := d.changed(tx, id.Tenant, id.Device); err != nil {
			return false, err
		}
	}
	prev, err := tx.Direction(id.Device)
	if isNotFound(err) || err == nil && (r.Direction <= prev.Version || r.Direction >= maxAccepted) || d.Older() != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d.Log.Warn("device has accepted a later direction than was stored here: was an old database restored?",
		"device", id.Device, "accepted", r.Direction, "stored", prev.Version)
	dev, err := tx.Device(id.Device)
	if err != nil {
		return false, err
	}
	return true, d.repeat(tx, dev, prev)
}

// Seen notes that a device has asked for something.
func (d *Director) Seen(ctx context.Context, id Identity) error {
	return d.update(ctx, id, func(tx *store.Tx) (bool, error) {
		if err := tx.Touch(id.Device, d.Clock()); err != nil {
			return false, err
		}
		return false, d.seen(tx, id.Device)
	})
}

// Connected notes whether a device has an MQTT connection.
func (d *Director) Connected(ctx context.Context, id Identity, online bool) error {
	return d.update(ctx, id, func(tx *store.Tx) (bool, error) {
		if err := tx.SetOnline(id.Device, online, d.Clock()); err != nil || !online {
			return false, err
		}
		return false, d.seen(tx, id.Device)
	})
}

// Progress is the last progress that a device has told, or nil.
func (d *Director) Progress(device string) *wire.Progress {
	t := d.talkOf(device)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress
}
