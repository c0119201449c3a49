package store

import (
	"encoding/json"
	"errors"
	"time"
)

// Device is one fleet member.
type Device struct {
	ID, Tenant         string
	Claim              string // that enrolled it
	Key                []byte // SHA-256 of its SubjectPublicKeyInfo
	Product, Hardware  string
	Serial, MAC, Agent string
	Enrolled, Expires  time.Time // Expires is its certificate's
	Revoked            time.Time // zero if it is not
	Seen               time.Time // last time it said anything
	Online             bool      // connected by MQTT now
	ReportedAt         time.Time
	Reported           []byte // wire.Reported as it came, or empty
	Version, State     string // from Reported
	Counter            int64  // from Reported
	Accepted           int64  // version of the direction it took last

	Group      string            // path in the tenant's tree; empty for none
	Zone       string            // IANA time zone; empty for none
	Attributes map[string]string // what people note; never nil when read
	CloudOff   bool              // the customer has switched its cloud connection off
}

const selectDevice = `SELECT id, tenant, claim, key, product, hardware, serial, mac, agent, enrolled, expires,
  revoked, seen, online, reported_at, reported, version, counter, state, accepted,
  grp, zone, attributes, cloud_off FROM devices`

func scanDevice(r scanner) (Device, error) {
	var d Device
	var enrolled, expires, revoked, seen, reportedAt int64
	var attributes []byte
	err := r.Scan(&d.ID, &d.Tenant, &d.Claim, &d.Key, &d.Product, &d.Hardware, &d.Serial, &d.MAC, &d.Agent, &enrolled,
		&expires, &revoked, &seen, &d.Online, &reportedAt, &d.Reported, &d.Version, &d.Counter, &d.State, &d.Accepted,
		&d.Group, &d.Zone, &attributes, &d.CloudOff)
	if err == nil {
		err = json.Unmarshal(attributes, &d.Attributes)
	}
	d.Group = shown(d.Group)
	d.Enrolled, d.Expires, d.Revoked = fromUnix(enrolled), fromUnix(expires), fromUnix(revoked)
	d.Seen, d.ReportedAt = fromUnix(seen), fromUnix(reportedAt)
	return d, err
}

// Standing is what of a device says whether it may come in, which it asks at every poll.
type Standing struct {
	ID, Tenant string
	Key        []byte
	Revoked    time.Time
	CloudOff   bool
}

// Standing is that of one device, or ErrNotFound.
func (t *Tx) Standing(id string) (Standing, error) {
	return get(t, func(r scanner) (Standing, error) {
		s, revoked := Standing{ID: id}, int64(0)
		err := r.Scan(&s.Tenant, &s.Key, &revoked, &s.CloudOff)
		s.Revoked = fromUnix(revoked)
		return s, err
	}, `SELECT tenant, key, revoked, cloud_off FROM devices WHERE id = ?`, id)
}

// Standing is what of the device says whether it may come in.
func (d Device) Standing() Standing { return Standing{d.ID, d.Tenant, d.Key, d.Revoked, d.CloudOff} }

// AddDevice stores a new device, and its group if that is new.
func (t *Tx) AddDevice(d Device) error {
	if d.Group != "" {
		if err := t.AddGroup(d.Tenant, d.Group, d.Enrolled); err != nil {
			return err
		}
	}
	attributes, err := encodeAttributes(d.Attributes)
	if err != nil {
		return err
	}
	if err := t.do(`INSERT INTO devices (id, tenant, claim, key, product, hardware, serial, mac, agent, enrolled, expires,
	  grp, zone, attributes, cloud_off, find) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, d.ID, d.Tenant, d.Claim, d.Key, d.Product,
		d.Hardware, d.Serial, d.MAC, d.Agent, d.Enrolled.Unix(), d.Expires.Unix(), stored(d.Group), d.Zone, attributes, d.CloudOff, d.find()); err != nil {
		return err
	}
	return t.addWords(d)
}

// Reenrol renews what a device said of itself when it enrolled again with the same key.
func (t *Tx) Reenrol(d Device) error {
	old, err := t.Device(d.ID)
	if err != nil {
		return err
	}
	if err := t.do(`UPDATE devices SET product = ?, hardware = ?, serial = ?, mac = ?, agent = ?, expires = ?, find = ? WHERE id = ?`,
		d.Product, d.Hardware, d.Serial, d.MAC, d.Agent, d.Expires.Unix(), d.find(), d.ID); err != nil {
		return err
	}
	if old.find() == d.find() {
		return nil
	}
	d.Tenant = old.Tenant
	if err := t.do("DELETE FROM device_words WHERE device = ?", d.ID); err != nil {
		return err
	}
	return t.addWords(d)
}

// Device returns one device, or ErrNotFound.
func (t *Tx) Device(id string) (Device, error) {
	return get(t, scanDevice, selectDevice+" WHERE id = ?", id)
}

// DeviceByKey returns the device with a key, revoked or not.
func (t *Tx) DeviceByKey(key []byte) (Device, error) {
	return get(t, scanDevice, selectDevice+" WHERE key = ?", key)
}

// DeviceByName returns the device of a tenant that has this serial, or else this MAC, and is not
// revoked. Empty names match nothing.
func (t *Tx) DeviceByName(tenant, serial, mac string) (Device, error) {
	// One after the other, and with the words of the indices: both at once read all devices of the tenant.
	if serial != "" {
		d, err := get(t, scanDevice, selectDevice+" WHERE tenant = ? AND serial = ? AND serial <> '' AND revoked = 0", tenant, serial)
		if mac == "" || !errors.Is(err, ErrNotFound) {
			return d, err
		}
	}
	return get(t, scanDevice, selectDevice+" WHERE tenant = ? AND mac = ? AND mac <> '' AND revoked = 0", tenant, mac)
}

// Revoke withdraws a device's identity. Its serial may enrol again with a new key.
func (t *Tx) Revoke(id string, now time.Time) error {
	return t.one("UPDATE devices SET revoked = ?, online = FALSE WHERE id = ? AND revoked = 0", now.Unix(), id)
}

// SetReported stores the newest state of a device. The parsed members come beside the
// bytes, so that this package need not know them.
func (t *Tx) SetReported(id string, d Device, now time.Time) error {
	return t.one(`UPDATE devices SET reported = ?, reported_at = ?2, seen = ?2, version = ?, counter = ?, state = ?,
	  accepted = ?, agent = ? WHERE id = ?`, string(d.Reported), now.Unix(), d.Version, d.Counter, d.State, d.Accepted, d.Agent, id)
}

// Touch notes that a device has said something.
func (t *Tx) Touch(id string, now time.Time) error {
	return t.one("UPDATE devices SET seen = ? WHERE id = ?", now.Unix(), id)
}

// SetOnline notes that a device is connected to this director, or no longer is. The end of a
// connection to one director says nothing where another has the device by now.
func (t *Tx) SetOnline(id string, online bool, now time.Time) error {
	if online {
		return t.one("UPDATE devices SET online = TRUE, node = ?, seen = ? WHERE id = ?", t.node, now.Unix(), id)
	}
	return t.one("UPDATE devices SET online = online AND node <> ?, seen = ? WHERE id = ?", t.node, now.Unix(), id)
}

// AllOffline is for the start: what a crash of this director left online is not.
func (t *Tx) AllOffline() error { return t.NodeOffline(t.node) }

// NodeOffline is AllOffline for another director, which has gone for good.
func (t *Tx) NodeOffline(node string) error {
	return t.do("UPDATE devices SET online = FALSE WHERE online AND node = ?", node)
}
