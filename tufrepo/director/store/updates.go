package store

import "time"

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

// AddUpdate stores a new update, the newest of its device.
func (t *Tx) AddUpdate(u Update) error {
	return t.do(`INSERT INTO updates (id, device, product, previous, version, state, created, changed, n)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(n), 0) + 1 FROM updates WHERE device = ?2))`,
		u.ID, u.Device, u.Product, u.Previous, u.Version, u.State, u.Created.Unix(), u.Created.Unix())
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
	w := where{}
	w.equal("d.tenant", q.Tenant)
	w.equal("u.device", q.Device)
	if q.Latest {
		w.and("u.n = (SELECT max(n) FROM updates WHERE device = u.device)")
	}
	return list(t, scanUpdate, selectUpdate+w.text()+" ORDER BY u.created DESC, u.n DESC, u.id DESC LIMIT ?", append(w.args, limit(q.Limit))...)
}
