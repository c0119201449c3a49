package store

import "time"

// Direction is the newest direction of a device.
type Direction struct {
	Device          string
	Version         int64
	Issued, Expires time.Time
	Raw             []byte // as it was signed
}

const selectDirection = "SELECT device, version, issued, expires, raw FROM directions"

func scanDirection(r scanner) (Direction, error) {
	var d Direction
	var issued, expires int64
	err := r.Scan(&d.Device, &d.Version, &issued, &expires, &d.Raw)
	d.Issued, d.Expires = fromUnix(issued), fromUnix(expires)
	return d, err
}

// SetDirection replaces a device's direction. A version that is not higher than the one
// stored is refused with ErrNotFound: nothing was there to replace.
func (t *Tx) SetDirection(d Direction) error {
	return t.one(`INSERT INTO directions (device, version, issued, expires, raw) VALUES (?, ?, ?, ?, ?)
	  ON CONFLICT (device) DO UPDATE SET version = excluded.version, issued = excluded.issued,
	  expires = excluded.expires, raw = excluded.raw WHERE excluded.version > version`,
		d.Device, d.Version, d.Issued.Unix(), d.Expires.Unix(), d.Raw)
}

// Direction returns a device's direction, or ErrNotFound.
func (t *Tx) Direction(device string) (Direction, error) {
	return get(t, scanDirection, selectDirection+" WHERE device = ?", device)
}

// DirectionsIssuedBefore returns the devices, not revoked, whose direction is older than
// at, the oldest first.
func (t *Tx) DirectionsIssuedBefore(at time.Time, limit int) ([]string, error) {
	return list(t, scanOne[string], `SELECT device FROM directions JOIN devices ON devices.id = device
	  WHERE issued < ? AND revoked = 0 ORDER BY issued LIMIT ?`, at.Unix(), limit)
}

// DateDirections makes every direction of a tenant look as if it were issued at the
// beginning of time, so that it is soon issued anew.
func (t *Tx) DateDirections(tenant string) error {
	_, err := t.exec("UPDATE directions SET issued = 0 WHERE device IN (SELECT id FROM devices WHERE tenant = ?)", tenant)
	return err
}

// Update is one device's attempt at one release.
type Update struct {
	ID               string
	Device, Tenant   string
	Serial           string // of the device
	Product          string
	Previous         string // version that ran before
	Version          string
	State            string
	Reason, Detail   string
	Fetched, Written int64 // bytes
	Millis           int64
	Epoch            string // with Seq, the event that set the state
	Seq              int64
	Created, Changed time.Time
}

const selectUpdate = `SELECT u.id, u.device, d.tenant, d.serial, u.product, u.previous, u.version, u.state, u.reason,
  u.detail, u.fetched, u.written, u.millis, u.epoch, u.seq, u.created, u.changed FROM updates u JOIN devices d ON d.id = u.device`

func scanUpdate(r scanner) (Update, error) {
	var u Update
	var created, changed int64
	err := r.Scan(&u.ID, &u.Device, &u.Tenant, &u.Serial, &u.Product, &u.Previous, &u.Version, &u.State, &u.Reason,
		&u.Detail, &u.Fetched, &u.Written, &u.Millis, &u.Epoch, &u.Seq, &created, &changed)
	u.Created, u.Changed = fromUnix(created), fromUnix(changed)
	return u, err
}

// AddUpdate stores a new update.
func (t *Tx) AddUpdate(u Update) error {
	_, err := t.exec(`INSERT INTO updates (id, device, product, previous, version, state, created, changed)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, u.ID, u.Device, u.Product, u.Previous, u.Version, u.State,
		u.Created.Unix(), u.Created.Unix())
	return err
}

// Update returns one update, or ErrNotFound.
func (t *Tx) Update(id string) (Update, error) {
	return get(t, scanUpdate, selectUpdate+" WHERE u.id = ?", id)
}

// SetUpdate stores how an update stands now.
func (t *Tx) SetUpdate(u Update) error {
	return t.one(`UPDATE updates SET previous = ?, state = ?, reason = ?, detail = ?, fetched = ?, written = ?,
	  millis = ?, epoch = ?, seq = ?, changed = ? WHERE id = ?`, u.Previous, u.State, u.Reason, u.Detail, u.Fetched, u.Written,
		u.Millis, u.Epoch, u.Seq, u.Changed.Unix(), u.ID)
}

// UpdateQuery picks updates; empty members pick all.
type UpdateQuery struct {
	Tenant, Device string
	Latest         bool // only the newest of each device
	Limit          int  // zero for 1000
}

// Updates returns updates, the newest first.
func (t *Tx) Updates(q UpdateQuery) ([]Update, error) {
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	return list(t, scanUpdate, selectUpdate+` WHERE (?1 = '' OR d.tenant = ?1) AND (?2 = '' OR u.device = ?2)
	  AND (NOT ?3 OR NOT EXISTS (SELECT 1 FROM updates n WHERE n.device = u.device
	    AND (n.created > u.created OR (n.created = u.created AND n.rowid > u.rowid))))
	  ORDER BY u.created DESC, u.rowid DESC LIMIT ?4`, q.Tenant, q.Device, q.Latest, q.Limit)
}

// AddEvent stores an event; false says that it was here before.
func (t *Tx) AddEvent(device, epoch string, seq int64, body []byte, now time.Time) (bool, error) {
	n, err := t.exec(`INSERT INTO events (device, epoch, seq, received, body) VALUES (?, ?, ?, ?, ?)
	  ON CONFLICT DO NOTHING`, device, epoch, seq, now.Unix(), string(body))
	return n > 0, err
}

// PruneEvents drops the oldest events of a device but for about keep.
func (t *Tx) PruneEvents(device string, keep int) error {
	_, err := t.exec(`DELETE FROM events WHERE device = ?1 AND received <
	  (SELECT received FROM events WHERE device = ?1 ORDER BY received DESC LIMIT 1 OFFSET ?2)`, device, keep)
	return err
}

// Events returns the events of a device in the order of their arrival.
func (t *Tx) Events(device string, limit int) ([][]byte, error) {
	return list(t, scanOne[[]byte], "SELECT body FROM events WHERE device = ? ORDER BY received, epoch, seq LIMIT ?", device, limit)
}
