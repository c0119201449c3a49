package link

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

func due(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// follow notices what has become of MQTT.
func (r *runner) follow() {
	conn, rounds, trouble, err := r.session.state()
	if !slices.Equal(trouble, r.trouble) {
		r.trouble = trouble
		r.pending.again()
	}
	if conn != r.conn {
		r.conn, r.ready, r.sendAt, r.postAt, r.fallback = conn, false, time.Time{}, time.Time{}, false
		if conn == nil {
			r.tell("")
			r.lost = time.Now()
			r.pollAt = r.lost.Add(within(r.cfg.Timing.FallbackPoll, r.cfg.Rand))
		} else {
			r.pending.again()
			r.plan()
		}
	}
	if conn == nil && !r.fallback && (r.session == nil || rounds > 0 || due(r.grace())) {
		r.fallback = true
		if r.lastPoll.IsZero() && r.pollAt.IsZero() {
			r.pollAt = time.Now()
		}
	}
	r.mqttErr = err
}

// grace is when MQTT has had its time even if no attempt has failed yet.
func (r *runner) grace() time.Time { return r.lost.Add(r.cfg.Timing.Start + r.cfg.Timing.Attempt) }

// plan sets what a new connection changes in the timetable.
func (r *runner) plan() {
	last := r.lastPoll
	if last.IsZero() {
		last = r.began
	}
	r.pollAt = last.Add(around(r.cfg.Timing.Poll, r.cfg.Rand))
	r.climbAt = time.Time{}
	if r.conn.transport != r.cfg.Transports[0] {
		r.climbAt = time.Now().Add(around(r.cfg.Timing.Climb, r.cfg.Rand))
	}
}

// idle is the time until something is due.
func (r *runner) idle() time.Duration {
	next := time.Now().Add(time.Hour)
	times := []time.Time{r.sendAt, r.postAt, r.pollAt}
	if r.conn != nil {
		times = append(times, r.climbAt)
	} else if !r.fallback {
		times = append(times, r.grace())
	}
	for _, t := range times {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return max(time.Until(next), 0)
}

func (r *runner) pollDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.poll
	r.poll = false
	return asked || due(r.pollAt)
}

// pollDirection asks for the direction over HTTPS.
func (r *runner) pollDirection(ctx context.Context) {
	raw, etag, err := r.api.direction(ctx, r.etag)
	if ctx.Err() != nil {
		return
	}
	r.lastPoll, r.etag = time.Now(), etag
	r.overHTTPSWas(err)
	r.pollAt = r.lastPoll.Add(max(around(r.every(err), r.cfg.Rand), r.patience(err)))
	if raw != nil {
		r.h.Direction(raw)
	}
}

// every is how long after a poll the next one comes. Where nobody answers, it comes later each time: a service that comes back has
// those at once who have waited for it.
func (r *runner) every(err error) time.Duration {
	t := r.cfg.Timing
	if r.unheard++; err == nil {
		r.unheard = 0
	}
	if err == nil && r.conn != nil {
		return t.Poll
	}
	wait := t.FallbackPoll
	for n := 1; n < r.unheard && wait < t.BackoffMax; n++ {
		wait *= 2
	}
	return max(t.FallbackPoll, min(wait, t.BackoffMax))
}

// patience is how long the service is to be left alone after err.
func (r *runner) patience(err error) time.Duration {
	if err != nil && class(err) == ClassIdentity {
		return around(r.cfg.Timing.Hold, r.cfg.Rand)
	}
	asked := after(err)
	return asked + within(asked/5, r.cfg.Rand) // many were told the same
}

// overHTTPSWas draws the conclusions from how a request went.
func (r *runner) overHTTPSWas(err error) {
	r.httpErr = err
	if err != nil {
		r.cfg.Log.Debug("link: HTTPS failed", "error", err)
	}
	if r.conn != nil {
		return
	}
	switch {
	case err == nil:
		r.session.blocked()
		r.tell(wire.TransportHTTPS)
	case r.told == wire.TransportHTTPS:
		r.tell("")
	}
}

// climb looks whether a better way is open again, and takes it.
func (r *runner) climb(ctx context.Context) {
	r.climbAt = time.Now().Add(around(r.cfg.Timing.Climb, r.cfg.Rand))
	if r.session.probe(ctx) {
		r.cfg.Log.Info("link: a better transport is open again", "transport", r.cfg.Transports[0])
		r.conn.close()
	}
}

func (r *runner) tell(transport string) {
	if transport == r.told {
		return
	}
	r.told = transport
	r.mu.Lock()
	r.status.Transport, r.status.Since = transport, r.cfg.Now()
	r.mu.Unlock()
	r.cfg.Log.Info("link: connection to the service", "transport", transport)
	r.h.Connected(transport)
}

// noteStatus shows how things are.
func (r *runner) noteStatus() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Trouble, r.status.LastError = r.trouble, ""
	if err := cmp.Or(r.mqttErr, r.httpErr); err != nil {
		r.status.LastError = wire.Text(err.Error())
	}
}
