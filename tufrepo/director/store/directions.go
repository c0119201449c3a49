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
	  expires = excluded.expires, raw = excluded.raw WHERE excluded.version > directions.version`,
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
	return t.do("UPDATE directions SET issued = 0 WHERE device IN (SELECT id FROM devices WHERE tenant = ?)", tenant)
}
