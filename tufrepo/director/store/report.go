package store

import "time"

// Tally counts the updates to one release that stand alike.
type Tally struct {
	Product, Version string
	State, Reason    string
	Updates          int64
	Fetched, Written int64 // bytes, of all of them
}

// TallyUpdates counts the updates that began at a time or later, by product, version, state
// and reason. An empty tenant means all.
func (t *Tx) TallyUpdates(tenant string, since time.Time) ([]Tally, error) {
	w := begun(tenant, since)
	return list(t, func(r scanner) (Tally, error) {
		var y Tally
		err := r.Scan(&y.Product, &y.Version, &y.State, &y.Reason, &y.Updates, &y.Fetched, &y.Written)
		return y, err
	}, `SELECT u.product, u.version, u.state, u.reason, count(*), CAST(sum(u.fetched) AS BIGINT), CAST(sum(u.written) AS BIGINT)
	  FROM updates u JOIN devices d ON d.id = u.device`+w.text()+
		" GROUP BY u.product, u.version, u.state, u.reason ORDER BY u.product, u.version, u.state, u.reason", w.args...)
}

// UpdateMillis returns how long an update to a release took that ended in a state: the one
// before which n were quicker. ErrNotFound if there are no more than n.
func (t *Tx) UpdateMillis(tenant string, since time.Time, of Tally, n int64) (int64, error) {
	w := begun(tenant, since)
	w.equal("u.product", of.Product)
	w.equal("u.version", of.Version)
	w.equal("u.state", of.State)
	return get(t, scanOne[int64], "SELECT u.millis FROM updates u JOIN devices d ON d.id = u.device"+w.text()+
		" ORDER BY u.millis LIMIT 1 OFFSET ?", append(w.args, n)...)
}

func begun(tenant string, since time.Time) (w where) {
	w.and("u.created >= ?", since.Unix())
	w.equal("d.tenant", tenant)
	return w
}
