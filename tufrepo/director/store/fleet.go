package store

import (
	"strings"
	"time"
)

// Member is what a rollout asks of a device: the members of Device that it needs, for many
// devices at a time.
type Member struct {
	ID, Tenant               string
	Product, Hardware, Agent string
	Serial, Version          string
	Counter, Accepted        int64
	Group, Zone              string
	Revoked, CloudOff        bool
}

const memberColumns = "id, tenant, product, hardware, agent, serial, version, counter, accepted, grp, zone, revoked <> 0, cloud_off"

func scanMember(r scanner) (m Member, err error) {
	err = r.Scan(&m.ID, &m.Tenant, &m.Product, &m.Hardware, &m.Agent, &m.Serial, &m.Version, &m.Counter, &m.Accepted, &m.Group, &m.Zone, &m.Revoked, &m.CloudOff)
	m.Group = shown(m.Group)
	return m, err
}

// EachMember calls f for every device of a tenant that has the product and is not revoked.
// f must not use the transaction.
func (t *Tx) EachMember(tenant, product string, f func(Member) error) error {
	return each(t, scanMember, f, "SELECT "+memberColumns+" FROM devices WHERE tenant = ? AND product = ? AND revoked = 0", tenant, product)
}

// Members returns the devices of these ids that there are, revoked ones too.
func (t *Tx) Members(ids []string) (map[string]Member, error) {
	out := make(map[string]Member, len(ids))
	err := among(t, ids, scanMember, func(m Member) { out[m.ID] = m }, "SELECT "+memberColumns+" FROM devices WHERE id IN ")
	return out, err
}

// DirectionVersions returns the versions of the directions that these devices have.
func (t *Tx) DirectionVersions(ids []string) (map[string]int64, error) {
	out := make(map[string]int64, len(ids))
	err := among(t, ids, func(r scanner) (d Direction, err error) {
		err = r.Scan(&d.Device, &d.Version)
		return d, err
	}, func(d Direction) { out[d.Device] = d.Version }, "SELECT device, version FROM directions WHERE device IN ")
	return out, err
}

// SetDirections is SetDirection for many devices. What is not newer than what is stored is
// left out without a word: read DirectionVersions in the same update.
func (t *Tx) SetDirections(all []Direction) error {
	return insert(t, all, 5, func(d Direction) []any {
		return []any{d.Device, d.Version, d.Issued.Unix(), d.Expires.Unix(), d.Raw}
	}, "INSERT INTO directions (device, version, issued, expires, raw)", ` ON CONFLICT (device) DO UPDATE SET version = excluded.version,
	  issued = excluded.issued, expires = excluded.expires, raw = excluded.raw WHERE excluded.version > directions.version`)
}

// Part is a device's part in a rollout, as far as others want to know of it.
type Part struct {
	Rollout, Device string
	State           string
	Attempt         int
	Held            bool
	Over            bool // the rollout has finished
}

const selectPart = "SELECT p.rollout, p.device, p.state, p.attempt, p.held, o.finished > 0 FROM rollout_rows p JOIN rollouts o ON o.id = p.rollout"

func scanPart(r scanner) (p Part, err error) {
	err = r.Scan(&p.Rollout, &p.Device, &p.State, &p.Attempt, &p.Held, &p.Over)
	return p, err
}

// Parts are the rollouts that a device is in, those that have finished too.
func (t *Tx) Parts(device string) ([]Part, error) {
	return list(t, scanPart, selectPart+" WHERE p.device = ? ORDER BY p.rollout", device)
}

// OtherParts are the parts of these devices in other rollouts that have not finished.
func (t *Tx) OtherParts(rollout string, devices []string) (out []Part, err error) {
	err = among(t, devices, scanPart, func(p Part) {
		if p.Rollout != rollout && !p.Over {
			out = append(out, p)
		}
	}, selectPart+" WHERE p.device IN ")
	return out, err
}

// HeldElsewhere are those of a rollout's devices that another rollout holds.
func (t *Tx) HeldElsewhere(rollout string) ([]string, error) {
	return list(t, scanOne[string], `SELECT h.device FROM rollout_rows h JOIN rollout_rows p ON p.device = h.device
	  WHERE h.held AND h.rollout <> ? AND p.rollout = ? ORDER BY h.device`, rollout, rollout)
}

// HeldDevices are the devices of a tenant that a rollout holds.
func (t *Tx) HeldDevices(tenant string) ([]string, error) {
	return list(t, scanOne[string], `SELECT device FROM rollout_rows WHERE held AND rollout IN (SELECT id FROM rollouts WHERE tenant = ?)
	  ORDER BY device`, tenant)
}

// Holders are the rollouts that hold some of these devices, by device.
func (t *Tx) Holders(devices []string) (map[string]string, error) {
	out := map[string]string{}
	err := among(t, devices, func(r scanner) (p Part, err error) {
		err = r.Scan(&p.Device, &p.Rollout)
		return p, err
	}, func(p Part) { out[p.Device] = p.Rollout }, "SELECT device, rollout FROM rollout_rows WHERE held AND device IN ")
	return out, err
}

// OpenRollouts are the ids of a tenant's rollouts that have not finished.
func (t *Tx) OpenRollouts(tenant string) ([]string, error) {
	return list(t, scanOne[string], "SELECT id FROM rollouts WHERE tenant = ? AND finished = 0 ORDER BY id", tenant)
}

// among runs query with ids in brackets behind it, 100 at a time and then fewer.
func among[T any](t *Tx, ids []string, scan func(scanner) (T, error), f func(T), query string) error {
	for _, n := range []int{100, 10, 1} {
		text := query + "(?" + strings.Repeat(", ?", n-1) + ")"
		for ; len(ids) >= n; ids = ids[n:] {
			args := make([]any, n)
			for i, id := range ids[:n] {
				args[i] = id
			}
			if err := each(t, scan, func(v T) error { f(v); return nil }, text, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReasonCount is how many devices of a rollout are in a state for a reason.
type ReasonCount struct {
	State, Reason string
	Devices       int64
}

// RolloutReasons are the reasons of a rollout's devices, the most frequent first, 50 at most.
func (t *Tx) RolloutReasons(rollout string) ([]ReasonCount, error) {
	return list(t, func(r scanner) (c ReasonCount, err error) {
		err = r.Scan(&c.State, &c.Reason, &c.Devices)
		return c, err
	}, `SELECT state, reason, count(*) FROM rollout_rows WHERE rollout = ? AND reason <> ''
	  GROUP BY state, reason ORDER BY count(*) DESC, state, reason LIMIT 50`, rollout)
}

// HeldLease says whether somebody else than holder has a lease now. It takes nothing.
func (t *Tx) HeldLease(name, holder string, now time.Time) (bool, error) {
	n, err := get(t, scanOne[int64], "SELECT count(*) FROM leases WHERE name = ? AND holder <> ? AND until > ?", name, holder, now.UnixMilli())
	return n > 0, err
}
