package store

// DeviceQuery picks devices. Empty members pick all.
type DeviceQuery struct {
	Tenant  string
	After   string // ids after this one, for the next page
	Limit   int    // zero for 1000
	Revoked bool   // revoked ones too

	Group                   string // in this group, or below
	Product, Version, State string
	// Text that serial or MAC contain, or the id begins with, whatever the case of letters
	// and without what separates parts: -:._/ and spaces.
	Text string
}

// Devices returns devices by id. A page among many thousands of a tenant takes a few
// milliseconds, whatever is asked for, unless conditions that many meet are met by hardly any
// together: then the index over all of the tenant's devices is read.
func (t *Tx) Devices(q DeviceQuery) ([]Device, error) {
	all := q.conditions()
	from, args, err := t.rarest(q)
	if err != nil {
		return nil, err
	}
	if from != "" {
		from = "(" + from + ") few CROSS JOIN devices"
		all.and("devices.id = few.c")
	} else {
		from = "devices"
	}
	args = append(append(args, all.args...), limit(q.Limit))
	return list(t, scanDevice, selectDevice+" JOIN (SELECT devices.id AS k FROM "+from+all.text()+
		" ORDER BY devices.id LIMIT ?) page ON page.k = devices.id ORDER BY devices.id", args...)
}

func (q DeviceQuery) conditions() (w where) {
	w.equal("tenant", q.Tenant)
	w.and("devices.id > ?", q.After)
	if !q.Revoked {
		w.and("revoked = 0")
	}
	w.equal("product", q.Product)
	w.equal("version", q.Version)
	w.equal("state", q.State)
	if q.Group != "" {
		// Not a range: SQLite would read all of it again for each candidate.
		w.and("substr(grp, 1, ?) = ?", len(q.Group)+1, stored(q.Group))
	}
	if text := plain(q.Text); text != "" {
		w.finds(text)
	}
	return w
}

// few is how many candidates are looked at one by one.
const few = 500

// rarest is a query for the candidates, as column c, where one of the conditions leaves few;
// empty where none does, and reading on from After will soon find enough.
func (t *Tx) rarest(q DeviceQuery) (query string, args []any, err error) {
	if q.Tenant == "" {
		return "", nil, nil
	}
	for _, c := range q.candidates() {
		n, err := get(t, scanOne[int64], "SELECT count(*) FROM ("+c.query+" LIMIT ?) x", append(c.args, few+1)...)
		if err != nil {
			return "", nil, err
		}
		if n <= few {
			return c.query + " LIMIT ?", append(c.args, few), nil
		}
	}
	return "", nil, nil
}

type candidates struct {
	query string
	args  []any
}

func (q DeviceQuery) candidates() (out []candidates) {
	if text := plain(q.Text); text != "" {
		from, to := beginning(text)
		out = append(out, candidates{"SELECT DISTINCT device AS c FROM device_words WHERE tenant = ? AND word >= ? AND word < ?", []any{q.Tenant, from, to}})
	}
	if q.Group != "" {
		from, to := below(q.Group)
		out = append(out, candidates{"SELECT id AS c FROM devices WHERE tenant = ? AND grp >= ? AND grp < ?", []any{q.Tenant, from, to}})
	}
	for _, c := range [][2]string{{"version", q.Version}, {"state", q.State}, {"product", q.Product}} {
		if c[1] != "" {
			out = append(out, candidates{"SELECT id AS c FROM devices WHERE tenant = ? AND " + c[0] + " = ?", []any{q.Tenant, c[1]}})
		}
	}
	return out
}
