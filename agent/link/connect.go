package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
)

// errHeld means that it is not yet time for another attempt.
var errHeld = errors.New("held back")

// urls has as many entries as the ladder rungs. The library tries them in order; what is
// behind each is decided when its turn comes, by its number, which is all that they hold.
func (s *session) urls() (out []*url.URL) {
	for i := range s.cfg.Transports {
		out = append(out, &url.URL{Scheme: "mqtts", Host: s.dial.service.Host, Fragment: fmt.Sprint(i)})
	}
	return out
}

// wait is the pause before a round of attempts. The library counts them from 0 after each
// success, which would bring a restarted broker all its clients at once; s counts itself.
func (s *session) wait(int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = 0
	if !s.started {
		s.started = true
		return within(s.cfg.Timing.Start, s.cfg.Rand)
	}
	pause := s.backoff.next()
	if hold := time.Until(s.holdUntil); hold > 0 {
		pause += hold
	}
	return pause
}

// connectPacket is called before each attempt.
func (s *session) connectPacket(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
	next := &mqttConn{session: s, nonce: rand.Text()}
	next.ctx, next.cancel = context.WithCancel(context.Background())
	will, err := wire.Encode(wire.Presence{Schema: wire.Schema, Nonce: next.nonce, Time: s.cfg.Now().UTC()})
	if err != nil {
		return nil, err
	}
	receive, packet, delay := uint16(receiveMaximum), uint32(maxPacket), uint32(willDelay)
	c.Properties.ReceiveMaximum, c.Properties.MaximumPacketSize = &receive, &packet
	c.WillMessage = &paho.WillMessage{Topic: s.topic(wire.LeafPresence), QoS: 1, Retain: true, Payload: will}
	c.WillProperties = &paho.WillProperties{WillDelayInterval: &delay}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What was not acknowledged is sent again from where it came. The library would send
	// it too, and counts badly when there is much of it.
	c.CleanStart = s.dirty
	s.next = next
	return c, nil
}

// attempt makes one connection. The library gives it no deadline.
func (s *session) attempt(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
	s.mu.Lock()
	next, held := s.next, time.Until(s.holdUntil) > 0
	next.transport = s.ladder.choice(int(u.Fragment[0] - '0'))
	s.mu.Unlock()
	if held {
		return nil, errHeld
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timing.Attempt)
	defer cancel()
	raw, err := s.dialTransport(ctx, next.transport)
	if err != nil {
		return nil, err
	}
	next.raw = newGuard(raw, s.cfg.Timing.Answer)
	return next.raw, nil
}

func (s *session) dialTransport(ctx context.Context, transport string) (net.Conn, error) {
	if transport == wire.TransportWSS {
		return s.dial.dialWebSocket(ctx, s.cfg.Now())
	}
	return s.dial.dialMQTT(ctx)
}

// failed is called after each attempt that did not lead to a connection.
func (s *session) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errs++; s.errs >= len(s.cfg.Transports) {
		s.rounds++
		defer s.changed()
	}
	if errors.Is(err, errHeld) {
		return
	}
	if denied, ok := errors.AsType[*autopaho.ConnackError](err); ok {
		s.denied(denied)
	} else {
		s.err = s.why(errors.Unwrap(err)) // without the address that urls made up
	}
	if class(s.err) == ClassIdentity {
		s.refuse()
	}
	s.holdFor(after(s.err))
	s.cfg.Log.Debug("link: no MQTT", "transport", s.next.transport, "error", s.err)
}

// why explains the end of a connection or of an attempt.
func (s *session) why(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return explain(fmt.Errorf("%s: %w", s.next.transport, err))
}

// denied reads the reason of a CONNACK (MQTT 5, section 3.2.2.2).
func (s *session) denied(e *autopaho.ConnackError) {
	out := &Error{Class: ClassUnavailable, Err: fmt.Errorf("the broker denied the connection: reason 0x%02x %s",
		e.ReasonCode, wire.Text(e.Reason))}
	switch e.ReasonCode {
	case packets.ConnackBadUsernameOrPassword, packets.ConnackNotAuthorized, packets.ConnackBanned,
		packets.ConnackInvalidClientID, packets.ConnackBadAuthenticationMethod:
		out.Class = ClassIdentity
	case packets.ConnackServerUnavailable, packets.ConnackServerBusy, packets.ConnackQuotaExceeded,
		packets.ConnackConnectionRateExceeded:
		out.After = around(s.cfg.Timing.Hold/10, s.cfg.Rand)
	}
	s.err = out
}

// refuse leaves a service alone that does not want this identity.
func (s *session) refuse() {
	s.cfg.Log.Warn("link: the broker refuses this device", "error", s.err, "pause", s.cfg.Timing.Hold)
	s.trouble[wire.TroubleRefused] = true
	s.holdFor(around(s.cfg.Timing.Hold, s.cfg.Rand))
}

func (s *session) holdFor(d time.Duration) {
	if until := time.Now().Add(d); d > 0 && until.After(s.holdUntil) {
		s.holdUntil = until
	}
}

// noAuth stands where the library would call a missing handler of extended
// authentication, and crash, when a broker asks for it.
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth { return &paho.Auth{ReasonCode: 0x18} }
func (noAuth) Authenticated()                     {}
