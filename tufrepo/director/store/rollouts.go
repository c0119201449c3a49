package store

import "time"

// Rollout is the row of one rollout. The JSON is the caller's.
type Rollout struct {
	ID, Tenant string
	Created    time.Time
	Creator    string
	Spec       []byte // the plan as it was written
	Setup      []byte // what never changes
	Head       []byte
	Run        string    // from Head
	Next       time.Time // when its next turn is due at the latest; zero for never
	Finished   time.Time // zero if it has not
}

const selectRollout = "SELECT id, tenant, created, creator, spec, setup, head, run, next_at, finished FROM rollouts"

func scanRollout(r scanner) (Rollout, error) {
	var o Rollout
	var created, next, finished int64
	err := r.Scan(&o.ID, &o.Tenant, &created, &o.Creator, &o.Spec, &o.Setup, &o.Head, &o.Run, &next, &finished)
	o.Created, o.Next, o.Finished = fromUnix(created), fromUnix(next), fromUnix(finished)
	return o, err
}

// toUnix is 0 for the zero time.
func toUnix(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}

// AddRollout stores a new rollout; ErrConflict if there is one with its id.
func (t *Tx) AddRollout(r Rollout) error {
	return t.do(`INSERT INTO rollouts (id, tenant, created, creator, spec, setup, head, run, next_at, finished)
	  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, r.ID, r.Tenant, r.Created.Unix(), r.Creator, string(r.Spec), string(r.Setup), string(r.Head),
		r.Run, toUnix(r.Next), toUnix(r.Finished))
}

// SetRollout stores how a rollout stands: Head, Run, Next and Finished.
func (t *Tx) SetRollout(r Rollout) error {
	return t.one("UPDATE rollouts SET head = ?, run = ?, next_at = ?, finished = ? WHERE id = ?",
		string(r.Head), r.Run, toUnix(r.Next), toUnix(r.Finished), r.ID)
}

// Rollout returns one rollout, or ErrNotFound.
func (t *Tx) Rollout(id string) (Rollout, error) {
	return get(t, scanRollout, selectRollout+" WHERE id = ?", id)
}

// RolloutQuery picks rollouts. Empty members pick all.
type RolloutQuery struct {
	Tenant string
	Run    string
	Open   bool   // only those that have not finished
	Device string // only those that have it
	Limit  int    // zero for 1000
}

// Rollouts returns rollouts, the newest first.
func (t *Tx) Rollouts(q RolloutQuery) ([]Rollout, error) {
	w := where{}
	w.equal("tenant", q.Tenant)
	w.equal("run", q.Run)
	if q.Open {
		w.and("finished = 0")
	}
	if q.Device != "" {
		w.and("id IN (SELECT rollout FROM rollout_rows WHERE device = ?)", q.Device)
	}
	return list(t, scanRollout, selectRollout+w.text()+" ORDER BY created DESC, id DESC LIMIT ?", append(w.args, limit(q.Limit))...)
}

// RolloutsDue returns the ids of rollouts whose turn is due: their time has come, or they
// have events that no turn has had, also after their end.
func (t *Tx) RolloutsDue(now time.Time) ([]string, error) {
	return list(t, scanOne[string], `SELECT id FROM rollouts WHERE (next_at > 0 AND next_at <= ?)
	  OR EXISTS (SELECT 1 FROM rollout_events e WHERE e.rollout = rollouts.id) ORDER BY id`, now.Unix())
}

// NextRollout is when the next turn of any rollout is due, ErrNotFound if none is. Events that
// no turn has had are not looked at.
func (t *Tx) NextRollout() (time.Time, error) {
	return get(t, func(r scanner) (time.Time, error) {
		at, err := scanOne[int64](r)
		return fromUnix(at), err
	}, "SELECT next_at FROM rollouts WHERE next_at > 0 ORDER BY next_at LIMIT 1")
}

// RolloutEvent is something that a rollout has to be told.
type RolloutEvent struct {
	Seq      int64 // given by AddRolloutEvent
	Received time.Time
	Body     []byte // JSON, the caller's
}

// AddRolloutEvent puts an event into a rollout's inbox.
func (t *Tx) AddRolloutEvent(rollout string, body []byte, now time.Time) error {
	return t.do("INSERT INTO rollout_events (rollout, received, body) VALUES (?, ?, ?)", rollout, now.Unix(), string(body))
}

// RolloutEvents returns the oldest events of an inbox. The order is nearly that of their
// coming: with PostgreSQL, one may appear before another that has a lower number.
func (t *Tx) RolloutEvents(rollout string, most int) ([]RolloutEvent, error) {
	return list(t, func(r scanner) (e RolloutEvent, err error) {
		var received int64
		err = r.Scan(&e.Seq, &received, &e.Body)
		e.Received = fromUnix(received)
		return e, err
	}, "SELECT seq, received, body FROM rollout_events WHERE rollout = ? ORDER BY seq LIMIT ?", rollout, limit(most))
}

// DropRolloutEvents takes out of the inbox what a turn has had: these and no others.
func (t *Tx) DropRolloutEvents(events []RolloutEvent) error {
	return inList(t, events, func(e RolloutEvent) any { return e.Seq }, "DELETE FROM rollout_events WHERE seq IN ")
}
