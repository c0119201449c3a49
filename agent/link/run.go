package link

import (
	"context"
	"errors"
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
	mqttErr  error // why there is no MQTT
	httpErr  error // of the last request

	sendAt  time.Time // when what is pending may be sent over MQTT; zero: at once
	failing backoff   // of that
	postAt  time.Time // the same over HTTPS
	posting backoff
	careful bool // the service refused a request: post things one by one
	passed  throttle

	pollAt   time.Time
	lastPoll time.Time
	unheard  int // polls in a row that failed
	etag     string
	climbAt  time.Time // zero: the ladder's top is reached
}

// Run keeps the link up until ctx ends; then it sends what is left, for a moment, says
// goodbye and returns nil. A disabled link waits for ctx.
func (l *Link) Run(ctx context.Context, h Handler) error {
	if l.cfg.Disabled {
		<-ctx.Done()
		return nil
	}
	t, now := l.cfg.Timing, time.Now()
	patience := backoff{min: t.BackoffMin, max: t.FallbackPoll, rand: l.cfg.Rand}
	r := &runner{Link: l, h: h, began: now, lost: now, failing: patience, posting: patience}
	r.start()
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

func (r *runner) start() {
	if len(r.cfg.Transports) == 0 {
		r.pollAt = r.began.Add(within(r.cfg.Timing.Start, r.cfg.Rand))
		return
	}
	r.session = startSession(r.cfg, r.dial, r.deliver, r.nudge)
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
	r.noteStatus() // before the service is told the same
	if r.conn != nil {
		r.overMQTT(ctx)
	}
	if r.posts() {
		r.overHTTPS(ctx)
	}
	if r.pollDue() {
		r.pollDirection(ctx)
	}
	if r.conn != nil && due(r.climbAt) {
		r.climb(ctx)
	}
	r.noteStatus()
	return r.idle()
}

// stop says what is left to say.
func (r *runner) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Timing.Stop)
	defer cancel()
	r.follow()
	if r.conn != nil {
		if r.ready {
			r.overMQTT(ctx)
		}
		if err := r.conn.present(ctx, false); err != nil {
			r.cfg.Log.Debug("link: the service was not told that this device goes", "error", err)
		}
	}
	if r.posts() && r.posting.failures == 0 {
		r.postAt = time.Now()
		r.overHTTPS(ctx)
	}
	r.session.stop(ctx)
}

// posts says whether reports go over HTTPS: while there is no MQTT, and always beside a broker that is not the service, which
// acknowledges what nobody has stored.
func (r *runner) posts() bool { return r.fallback || r.conn != nil && r.cfg.Broker != "" }

// gone says that err comes from the end of the connection, which follow will notice.
func (r *runner) gone(err error) bool {
	return r.conn.ctx.Err() != nil || errors.Is(err, context.Canceled)
}
