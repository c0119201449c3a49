package link

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// progressExpiry lets a broker forget progress that nobody fetched.
const progressExpiry = time.Minute

// overMQTT sends what is pending, the most wanted first.
func (r *runner) overMQTT(ctx context.Context) {
	if !r.sendAt.IsZero() && !due(r.sendAt) {
		return
	}
	r.sendAt = time.Time{}
	all := []func(context.Context) error{r.arrive, r.sendReplies, r.sendReported, r.sendEvents, r.sendProgress}
	if r.cfg.Broker != "" {
		all = []func(context.Context) error{r.arrive, r.sendReplies, r.sendProgress}
	}
	for _, send := range all {
		if err := send(ctx); err != nil {
			r.sendFailed(err)
			return
		}
	}
	r.failing.reset()
}

// sendFailed plans another try on the same connection; a new connection tries anyway.
func (r *runner) sendFailed(err error) {
	if r.gone(err) {
		return
	}
	r.sendAt = time.Now().Add(r.failing.next())
	r.cfg.Log.Debug("link: sending failed", "error", err)
	if !r.ready {
		r.conn.close()
	}
}

// arrive does what a new connection begins with.
func (r *runner) arrive(ctx context.Context) error {
	if r.ready {
		return nil
	}
	if err := r.conn.subscribe(ctx); err != nil {
		return err
	}
	if err := r.conn.present(ctx, true); err != nil {
		return err
	}
	r.ready = true
	r.tell(r.conn.transport)
	return nil
}

func (r *runner) sendReplies(ctx context.Context) error {
	for {
		reply, ok := r.pending.nextReply()
		if !ok {
			return nil
		}
		if err := send(ctx, r, wire.LeafReply, reply); err != nil {
			return err
		}
		r.pending.answered(reply)
	}
}

func (r *runner) sendReported(ctx context.Context) error {
	reported, version := r.pending.due()
	if reported == nil {
		return nil
	}
	if err := send(ctx, r, wire.LeafReported, r.stamped(*reported, r.conn.transport)); err != nil {
		return err
	}
	r.pending.delivered(version)
	return nil
}

func (r *runner) stamped(reported wire.Reported, transport string) wire.Reported {
	reported.Link = &wire.LinkStatus{Transport: transport, Trouble: r.trouble}
	return reported
}

func (r *runner) sendEvents(ctx context.Context) error {
	for {
		events := r.cfg.Outbox.Next(wire.MaxEvents, wire.MaxPayload)
		if len(events) == 0 {
			return nil
		}
		for _, e := range events {
			if err := send(ctx, r, wire.LeafEvent, e); err != nil {
				return err
			}
			r.cfg.Outbox.Ack(e.Epoch, e.Seq)
			r.failing.reset() // a service that takes a few at a time is not failing
		}
	}
}

func (r *runner) sendProgress(ctx context.Context) error {
	p := r.pending.takeProgress()
	if p == nil || !r.passed.pass(*p, time.Now()) {
		return nil
	}
	payload, err := wire.Encode(*p)
	if err != nil {
		r.cfg.Log.Warn("link: progress is not sent", "error", err)
		return nil
	}
	return r.conn.hint(ctx, wire.LeafProgress, payload, progressExpiry)
}

// send publishes m. A message that this side or the other will never take counts as sent,
// so that it does not stand before all others for ever.
func send[M wire.Message](ctx context.Context, r *runner, leaf string, m M) error {
	payload, err := wire.Encode(m)
	if err == nil {
		err = r.conn.publish(ctx, leaf, false, payload)
		if !errors.Is(err, errUnwanted) {
			return err
		}
	}
	r.cfg.Log.Warn("link: a message was given up", "kind", leaf, "error", err)
	return nil
}

// batchBytes leaves room for the report beside the events of one request.
const batchBytes = wire.MaxPayload - wire.MaxReported - 4<<10

// overHTTPS posts what is pending. It waits a moment first, so that what comes together
// goes together.
func (r *runner) overHTTPS(ctx context.Context) {
	for r.somethingToPost() {
		if r.postAt.IsZero() {
			r.postAt = time.Now().Add(within(r.cfg.Timing.Start, r.cfg.Rand))
		}
		if !due(r.postAt) {
			return
		}
		if err := r.post(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			r.postAt = time.Now().Add(max(r.posting.next(), r.patience(err)))
			return
		}
		r.posting.reset()
	}
	r.postAt, r.careful = time.Time{}, false
}

func (r *runner) somethingToPost() bool {
	reported, _ := r.pending.due()
	return reported != nil || r.cfg.Outbox.Len() > 0
}

// post makes one request of what is pending.
func (r *runner) post(ctx context.Context) error {
	reported, version := r.pending.due()
	events := r.cfg.Outbox.Next(wire.MaxEvents, batchBytes)
	if r.careful && reported != nil {
		events = nil
	} else if r.careful {
		events = events[:1]
	}
	reports := wire.Reports{Events: events}
	if reported != nil {
		transport := wire.TransportHTTPS
		if r.conn != nil {
			transport = r.conn.transport
		}
		stamped := r.stamped(*reported, transport)
		reports.Reported = &stamped
	}
	stored, err := r.api.reports(ctx, reports)
	if ctx.Err() == nil {
		r.overHTTPSWas(err)
	}
	if err != nil && class(err) == ClassRequest {
		stored, err = r.refused(events, err)
	}
	if err != nil {
		return err
	}
	return r.posted(reports, version, stored)
}

// refused makes the next requests small; a small one that is refused is given up.
func (r *runner) refused(events []wire.Event, err error) (int64, error) {
	if !r.careful {
		r.careful = true
		return 0, err
	}
	r.cfg.Log.Warn("link: a message was given up", "error", err)
	if len(events) == 0 {
		return 0, nil
	}
	return events[0].Seq, nil
}

// posted lets go of what the service has stored.
func (r *runner) posted(sent wire.Reports, version int, stored int64) error {
	r.pending.delivered(version)
	if len(sent.Events) == 0 {
		return nil
	}
	if stored < sent.Events[0].Seq {
		return &Error{Class: ClassUnavailable, Err: errors.New("the service stored none of the events and did not say why")}
	}
	r.cfg.Outbox.Ack(sent.Events[0].Epoch, min(stored, sent.Events[len(sent.Events)-1].Seq))
	return nil
}
