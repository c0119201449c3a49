package store

import (
	"fmt"
	"time"
)

// Expected is a device that a tenant waits for. Serial or MAC say which; the other may be empty.
type Expected struct {
	N                 int64 // given by AddExpected
	Tenant            string
	Serial, MAC       string
	Product, Hardware string // empty for any
	Group             string // that it will be in
	Added             time.Time
	Device            string // that has enrolled as this; empty before
	Key               []byte // hash of the key that it is bound to; empty before
}

const selectExpected = "SELECT n, tenant, serial, mac, product, hardware, grp, added, device, key FROM expected"

func scanExpected(r scanner) (Expected, error) {
	var e Expected
	var added int64
	err := r.Scan(&e.N, &e.Tenant, &e.Serial, &e.MAC, &e.Product, &e.Hardware, &e.Group, &added, &e.Device, &e.Key)
	e.Group, e.Added = shown(e.Group), fromUnix(added)
	return e, err
}

// AddExpected puts a device on the list, or renews what stands there under its serial, or
// under its MAC if it has no serial. What it is bound to stays. ErrConflict if its MAC stands
// under another serial.
func (t *Tx) AddExpected(e Expected) error {
	if e.Serial == "" && e.MAC == "" {
		return fmt.Errorf("an expected device needs a serial or a MAC")
	}
	if e.Group != "" {
		if err := t.AddGroup(e.Tenant, e.Group, e.Added); err != nil {
			return err
		}
	}
	name := "serial"
	if e.Serial == "" {
		name = "mac"
	}
	return t.do(`INSERT INTO expected (tenant, serial, mac, product, hardware, grp, added, device, key)
	  VALUES (?, ?, ?, ?, ?, ?, ?, '', ?) ON CONFLICT (tenant, `+name+`) WHERE `+name+` <> '' DO UPDATE SET
	  mac = excluded.mac, product = excluded.product, hardware = excluded.hardware, grp = excluded.grp`,
		e.Tenant, e.Serial, e.MAC, e.Product, e.Hardware, stored(e.Group), e.Added.Unix(), []byte{})
}

// Expected returns what stands under a serial, else under a MAC; empty ones match nothing.
func (t *Tx) Expected(tenant, serial, mac string) (Expected, error) {
	return get(t, scanExpected, selectExpected+` WHERE tenant = ? AND ((serial <> '' AND serial = ?) OR (mac <> '' AND mac = ?))
	  ORDER BY CASE WHEN serial = ?2 THEN 0 ELSE 1 END LIMIT 1`, tenant, serial, mac)
}

// ExpectedList returns a tenant's list in the order of coming, those after number after.
func (t *Tx) ExpectedList(tenant string, after int64, most int) ([]Expected, error) {
	return list(t, scanExpected, selectExpected+" WHERE tenant = ? AND n > ? ORDER BY n LIMIT ?", tenant, after, limit(most))
}

// BindExpected notes which device, with which key, has enrolled. ErrConflict if it is bound to
// another.
func (t *Tx) BindExpected(n int64, device string, key []byte) error {
	bound, err := t.exec("UPDATE expected SET device = ?, key = ? WHERE n = ? AND (device = '' OR (device = ?1 AND key = ?2))", device, key, n)
	if err == nil && bound == 0 {
		return fmt.Errorf("%w: the expected device is bound to another key", ErrConflict)
	}
	return err
}

// FreeExpected takes the binding away, so that another key may come.
func (t *Tx) FreeExpected(tenant string, n int64) error {
	return t.one("UPDATE expected SET device = '', key = ? WHERE tenant = ? AND n = ?", []byte{}, tenant, n)
}

// RemoveExpected takes a device off the list.
func (t *Tx) RemoveExpected(tenant string, n int64) error {
	return t.one("DELETE FROM expected WHERE tenant = ? AND n = ?", tenant, n)
}

// Clone is a key that came with the serial of a device that has another.
type Clone struct {
	Tenant, Serial string
	Key            []byte // hash
	First, Last    time.Time
	Count          int64 // times that it came
}

const selectClone = "SELECT tenant, serial, key, first, last, count FROM clones"

func scanClone(r scanner) (Clone, error) {
	var c Clone
	var first, last int64
	err := r.Scan(&c.Tenant, &c.Serial, &c.Key, &first, &last, &c.Count)
	c.First, c.Last = fromUnix(first), fromUnix(last)
	return c, err
}

// NoteClone puts a key into quarantine, or counts it once more.
func (t *Tx) NoteClone(tenant, serial string, key []byte, now time.Time) (Clone, error) {
	if err := t.do(`INSERT INTO clones (tenant, serial, key, first, last, count) VALUES (?, ?, ?, ?, ?4, 1)
	  ON CONFLICT (tenant, serial, key) DO UPDATE SET last = excluded.last, count = clones.count + 1`, tenant, serial, key, now.Unix()); err != nil {
		return Clone{}, err
	}
	return get(t, scanClone, selectClone+" WHERE tenant = ? AND serial = ? AND key = ?", tenant, serial, key)
}

// Clones returns a tenant's quarantine, the newest first.
func (t *Tx) Clones(tenant string) ([]Clone, error) {
	return list(t, scanClone, selectClone+" WHERE tenant = ? ORDER BY last DESC, serial, key", tenant)
}

// DropClone takes a key out of quarantine.
func (t *Tx) DropClone(tenant, serial string, key []byte) error {
	return t.one("DELETE FROM clones WHERE tenant = ? AND serial = ? AND key = ?", tenant, serial, key)
}
