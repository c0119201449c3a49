package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// MaxAttributes is the most that a device's attributes take, in bytes of JSON.
const MaxAttributes = 4 << 10

func encodeAttributes(a map[string]string) (string, error) {
	if a == nil {
		return "{}", nil
	}
	b, err := json.Marshal(a)
	if err == nil && len(b) > MaxAttributes {
		err = fmt.Errorf("attributes take %d bytes, more than %d", len(b), MaxAttributes)
	}
	return string(b), err
}

// SetGroup puts a device into a group, which is made if it is new; empty for none.
func (t *Tx) SetGroup(id, path string, now time.Time) error {
	if path != "" {
		d, err := t.Device(id)
		if err != nil {
			return err
		}
		if err := t.AddGroup(d.Tenant, path, now); err != nil {
			return err
		}
	}
	return t.one("UPDATE devices SET grp = ? WHERE id = ?", stored(path), id)
}

// SetZone notes a device's IANA time zone, which the caller has checked; empty for none.
func (t *Tx) SetZone(id, zone string) error {
	return t.one("UPDATE devices SET zone = ? WHERE id = ?", zone, id)
}

// SetAttributes replaces a device's attributes.
func (t *Tx) SetAttributes(id string, a map[string]string) error {
	text, err := encodeAttributes(a)
	if err != nil {
		return err
	}
	return t.one("UPDATE devices SET attributes = ? WHERE id = ?", text, id)
}

// SetCloudOff notes whether the customer has switched a device's cloud connection off.
func (t *Tx) SetCloudOff(id string, off bool) error {
	return t.one("UPDATE devices SET cloud_off = ? WHERE id = ?", off, id)
}
