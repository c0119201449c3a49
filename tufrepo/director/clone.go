package director

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// maxClones bounds the quarantine of a tenant: serials are no secrets, and keys cost nothing.
const maxClones = 1000

// cloned refuses a key that comes with the name of a device that has another one, and has it
// put into quarantine.
func (e *enrolment) cloned(tenant string, has store.Device) error {
	name := cmp.Or(has.Serial, has.MAC)
	e.clone = &store.Clone{Tenant: tenant, Serial: name, Key: e.key}
	return refuse(wire.CodeConflict, "serial %q or MAC %q is enrolled as device %s with another key. This key (%x) is in quarantine: "+
		"if the storage or board was replaced, the operator lets it in with fairlead-repo enroll resolve; if not, there are two devices with one identity",
		e.request.Serial, e.request.MAC, cmp.Or(has.ID, "-"), e.key[:6])
}

// quarantine notes a clone, in an update of its own: the enrolment itself was taken back.
func (d *Director) quarantine(ctx context.Context, c store.Clone, caller Caller) error {
	return d.Store.Update(ctx, func(tx *store.Tx) error {
		all, err := tx.Clones(c.Tenant)
		if err != nil {
			return err
		}
		known := false
		for _, o := range all {
			known = known || o.Serial == c.Serial && bytes.Equal(o.Key, c.Key)
		}
		if !known && len(all) >= maxClones {
			d.Log.Error("the quarantine is full: look at fairlead-repo enroll clones", "tenant", c.Tenant, "serial", c.Serial)
			return nil
		}
		if c, err = tx.NoteClone(c.Tenant, c.Serial, c.Key, d.Clock()); err != nil || c.Count > 1 {
			return err
		}
		return auditlog.Append(tx, c.Tenant, audit.Entry{Time: d.now(), Action: audit.DeviceClone, Outcome: audit.Refused, Actor: audit.Actor{Kind: audit.Nobody},
			Object: "serial/" + printable(c.Serial), Source: caller.Source.Unmap().WithZone(""), Detail: auditlog.Detail(map[string]string{"key": hex.EncodeToString(c.Key)})})
	})
}

// printable is a serial as the audit log takes it.
func printable(s string) string {
	if checkSerial(s) == nil {
		return s
	}
	return fmt.Sprintf("%q", strings.ToValidUTF8(s, "?"))
}

// Resolve ends a quarantine, for the key whose hash begins with hex digits. With accept it is
// the device from now on: the one that had the serial is revoked, and the list, if the serial
// stands on it, waits for this key. Without, the key stays out.
func (d *Director) Resolve(ctx context.Context, tenant, serial, key string, accept bool) (store.Clone, error) {
	var out store.Clone
	var gone string
	auditlog.Of(ctx).Tell("serial/"+printable(serial), map[string]any{"key": key, "accept": accept})
	err := auditlog.Update(ctx, d.Store, func(tx *store.Tx) (err error) {
		gone = ""
		if out, err = findClone(tx, tenant, serial, key); err != nil {
			return err
		}
		if accept {
			if gone, err = d.replace(tx, out); err != nil {
				return err
			}
		}
		return tx.DropClone(tenant, out.Serial, out.Key)
	})
	if err == nil && gone != "" {
		d.Log.Warn("device revoked: another key was let in for its serial", "device", gone, "serial", serial)
		d.cut(gone)
		d.stir()
	}
	return out, err
}

func findClone(tx *store.Tx, tenant, serial, key string) (store.Clone, error) {
	all, err := tx.Clones(tenant)
	if err != nil {
		return store.Clone{}, err
	}
	var found []store.Clone
	for _, c := range all {
		if c.Serial == serial && strings.HasPrefix(hex.EncodeToString(c.Key), strings.ToLower(key)) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return store.Clone{}, refuse(wire.CodeNotFound, "no such key of serial %q is in quarantine: look at fairlead-repo enroll clones", serial)
	}
	return store.Clone{}, refuse(wire.CodeConflict, "%d keys came with serial %q: say which one with --key", len(found), serial)
}

// replace lets a key in for a serial, and returns the device that lost it.
func (d *Director) replace(tx *store.Tx, c store.Clone) (gone string, err error) {
	dev, err := tx.DeviceByName(c.Tenant, c.Serial, c.Serial) // the name may be a MAC
	if err == nil {
		gone = dev.ID
		err = d.revoke(tx, dev)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return gone, err
	}
	row, err := tx.Expected(c.Tenant, c.Serial, c.Serial)
	if errors.Is(err, store.ErrNotFound) {
		return gone, nil
	}
	if err == nil {
		err = tx.FreeExpected(c.Tenant, row.N)
	}
	if err == nil {
		err = tx.BindExpected(row.N, "", c.Key)
	}
	return gone, err
}
