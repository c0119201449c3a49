package store

import (
	"strings"
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
}

const selectDevice = `SELECT id, tenant, claim, key, product, hardware, serial, mac, agent, enrolled, expires,
  revoked, seen, online, reported_at, reported, version, counter, state, accepted FROM devices`

func scanDevice(r scanner) (Device, error) {
	var d Device
	var enrolled, expires, revoked, seen, reportedAt int64
	err := r.Scan(&d.ID, &d.Tenant, &d.Claim, &d.Key, &d.Product, &d.Hardware, &d.Serial, &d.MAC, &d.Agent, &enrolled,
		&expires, &revoked, &seen, &d.Online, &reportedAt, &d.Reported, &d.Version, &d.Counter, &d.State, &d.Accepted)
	d.Enrolled, d.Expires, d.Revoked = fromUnix(enrolled), fromUnix(expires), fromUnix(revoked)
	d.Seen, d.ReportedAt = fromUnix(seen), fromUnix(reportedAt)
	return d, err
}

// AddDevice stores a new device.
func (t *Tx) AddDevice(d Device) error {
	return t.do(`INSERT INTO devices (id, tenant, claim, key, product, hardware, serial, mac, agent, enrolled, expires)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, d.ID, d.Tenant, d.Claim, d.Key, d.Product, d.Hardware,
		d.Serial, d.MAC, d.Agent, d.Enrolled.Unix(), d.Expires.Unix())
}

// Reenrol renews what a device said of itself when it enrolled again with the same key.
func (t *Tx) Reenrol(d Device) error {
	return t.one(`UPDATE devices SET product = ?, hardware = ?, serial = ?, mac = ?, agent = ?, expires = ? WHERE id = ?`,
		d.Product, d.Hardware, d.Serial, d.MAC, d.Agent, d.Expires.Unix(), d.ID)
}

// Device returns one device, or ErrNotFound.
func (t *Tx) Device(id string) (Device, error) {
	return get(t, scanDevice, selectDevice+" WHERE id = ?", id)
}

// DeviceByKey returns the device with a key, revoked or not.
func (t *Tx) DeviceByKey(key []byte) (Device, error) {
	return get(t, scanDevice, selectDevice+" WHERE key = ?", key)
}

// DeviceByName returns the device of a tenant that has this serial or MAC and is not
// revoked. Empty names match nothing.
func (t *Tx) DeviceByName(tenant, serial, mac string) (Device, error) {
	return get(t, scanDevice, selectDevice+` WHERE tenant = ? AND revoked = 0
	  AND ((serial <> '' AND serial = ?) OR (mac <> '' AND mac = ?)) LIMIT 1`, tenant, serial, mac)
}

// DeviceQuery picks devices.
type DeviceQuery struct {
	Tenant  string // empty for all
	After   string // ids after this one, for the next page
	Limit   int    // zero for 1000
	Revoked bool   // revoked ones too
}

// Devices returns devices by id.
func (t *Tx) Devices(q DeviceQuery) ([]Device, error) {
	where, args := []string{"id > ?"}, []any{q.After}
	if q.Tenant != "" {
		where, args = append(where, "tenant = ?"), append(args, q.Tenant)
	}
	if !q.Revoked {
		where = append(where, "revoked = 0")
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	return list(t, scanDevice, selectDevice+" WHERE "+strings.Join(where, " AND ")+" ORDER BY id LIMIT ?", append(args, q.Limit)...)
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
