package link

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// runner is the one goroutine of Run. It looks at how things are, does what is due, and
// sleeps until something changes: it misses nothing, because it compares states and counts
// no signals.
type runner struct {
	*Link
	h       Handler
	session *session  // nil without MQTT
	began   time.Time // of Run
	told    string    // what Handler.Connected heard last

	conn     *mqttConn // that was seen last
	ready    bool      // conn is subscribed and present
	lost     time.Time // when conn ended, or Run began
	fallback bool      // HTTPS does the work of MQTT
	trouble  []string

	sendAt  time.Time // when what is pending may be sent; zero: at once
	failing backoff   // of sending
	careful bool      // the service refused a request: send things one by one
	passed  throttle

	pollAt   time.Time
	lastPoll time.Time
	etag     string
	climbAt  time.Time // zero: the ladder's top is reached
}

// Run keeps the link up until ctx ends; then it sends what is left, for a moment, says
// goodbye and returns nil. It fails only if it cannot begin. A disabled link waits for ctx.
func (l *Link) Run(ctx context.Context, h Handler) error {
	if l.cfg.Disabled {
		<-ctx.Done()
		return nil
	}
	t, now := l.cfg.Timing, time.Now()
	r := &runner{Link: l, h: h, began: now, lost: now,
		failing: backoff{min: t.BackoffMin, max: t.FallbackPoll, rand: l.cfg.Rand}}
	if err := r.start(); err != nil {
		return err
	}
	defer l.http.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.stop()
			return nil
		case <-timer.C:
		case <-l.wake:
		case <-l.cfg.Outbox.Ready():
		}
		timer.Reset(r.step(ctx))
	}
}

func (r *runner) start() (err error) {
	if len(r.cfg.Transports) == 0 {
		r.pollAt = r.began.Add(within(r.cfg.Timing.Start, r.cfg.Rand))
		return nil
	}
	r.session, err = startSession(r.cfg, r.dial, r.deliver, r.nudge)
	return err
}

// deliver is called by the session for every message.
func (r *runner) deliver(topic string, payload []byte) {
	log := r.cfg.Log
	switch topic {
	case wire.Topic(r.cfg.Tenant, r.cfg.Device, wire.LeafDirection):
		if len(payload) > wire.MaxDirection {
			log.Warn("link: a direction is too long and is ignored", "bytes", len(payload))
		} else if len(payload) > 0 { // none: a retained message was removed
			r.h.Direction(payload)
		}
	case wire.Topic(r.cfg.Tenant, r.cfg.Device, wire.LeafCmd):
		cmd, err := wire.DecodeCmd(payload)
		if err != nil {
			log.Warn("link: a command is ignored", "error", err)
		} else if cmd.Expires.Before(r.cfg.Now()) {
			log.Info("link: a command came too late", "id", cmd.ID, "name", cmd.Name)
		} else {
			r.h.Cmd(cmd)
		}
	}
}

// step does what is due and says how long nothing will be.
func (r *runner) step(ctx context.Context) time.Duration {
	r.follow()
	switch {
	case r.conn != nil:
		r.overMQTT(ctx)
	case r.fallback:
		r.overHTTPS(ctx)
	}
	if r.pollDue() {
		r.pollDirection(ctx)
	}
	if r.conn != nil && due(r.climbAt) {
		r.climb(ctx)
	}
	return r.idle()
}

func due(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// follow notices what has become of MQTT.
func (r *runner) follow() {
	conn, rounds, trouble, err := r.session.state()
	if !slices.Equal(trouble, r.trouble) {
		r.trouble = trouble
		r.pending.again()
	}
	if conn != r.conn {
		r.conn, r.ready, r.sendAt, r.fallback = conn, false, time.Time{}, false
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
	r.noteStatus(err)
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
	times := []time.Time{r.sendAt, r.pollAt}
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
	every := r.cfg.Timing.FallbackPoll
	if err == nil && r.conn != nil {
		every = r.cfg.Timing.Poll
	}
	r.pollAt = r.lastPoll.Add(max(around(every, r.cfg.Rand), r.patience(err)))
	if raw != nil {
		r.h.Direction(raw)
	}
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
	if err != nil {
		r.cfg.Log.Debug("link: HTTPS failed", "error", err)
	}
	if r.conn != nil {
		return
	}
	r.noteStatus(err)
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

func (r *runner) noteStatus(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Trouble = r.trouble
	if err != nil {
		r.status.LastError = wire.Text(err.Error())
	} else if r.told != "" {
		r.status.LastError = ""
	}
}

// stop says what is left to say.
func (r *runner) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Timing.Stop)
	defer cancel()
	r.follow()
	switch {
	case r.conn != nil:
		if r.ready {
			r.overMQTT(ctx)
		}
		if err := r.conn.present(ctx, false); err != nil {
			r.cfg.Log.Debug("link: the service was not told that this device goes", "error", err)
		}
	case r.fallback && r.failing.failures == 0:
		r.sendAt = time.Now()
		r.overHTTPS(ctx)
	}
	r.session.stop(ctx)
}

// gone says that err comes from the end of the connection, which follow will notice.
func (r *runner) gone(err error) bool {
	return r.conn.ctx.Err() != nil || errors.Is(err, context.Canceled)
}
