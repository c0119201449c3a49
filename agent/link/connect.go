package link

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
)

// errHeld means that it is not yet time for another attempt.
var errHeld = errors.New("held back")

// wait is the pause before a round of attempts. A success does not make it short again before it has held: a restarted broker
// would have all its clients at once.
func (s *session) wait() time.Duration {
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

// connectPacket begins an attempt. alive is in seconds.
func (s *session) connectPacket(alive uint16) (*paho.Connect, error) {
	next := &mqttConn{session: s, nonce: rand.Text()}
	next.ctx, next.cancel = context.WithCancel(context.Background())
	will, err := wire.Encode(wire.Presence{Schema: wire.Schema, Nonce: next.nonce, Time: s.cfg.Now().UTC()})
	if err != nil {
		return nil, err
	}
	receive, packet, expiry, delay := uint16(receiveMaximum), uint32(maxPacket), uint32(sessionExpiry), uint32(willDelay)
	c := &paho.Connect{ClientID: s.cfg.Device, KeepAlive: alive,
		Properties:     &paho.ConnectProperties{ReceiveMaximum: &receive, MaximumPacketSize: &packet, SessionExpiryInterval: &expiry},
		WillMessage:    &paho.WillMessage{Topic: s.topic(wire.LeafPresence), QoS: 1, Retain: true, Payload: will},
		WillProperties: &paho.WillProperties{WillDelayInterval: &delay},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What was not acknowledged is sent again from where it came. The library would send
	// it too, and counts badly when there is much of it.
	c.CleanStart = s.dirty
	s.next = next
	return c, nil
}

// attempt makes the connection of an attempt, by the i-th choice of the ladder.
func (s *session) attempt(ctx context.Context, i int) (*guard, error) {
	s.mu.Lock()
	next, held := s.next, time.Until(s.holdUntil) > 0
	next.transport = s.ladder.choice(i)
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
	guarded := newGuard(raw, s.cfg.Timing.Answer)
	next.raw = guarded
	return guarded, nil
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
	if denied, ok := errors.AsType[*denial](err); ok {
		s.denied(denied)
	} else {
		s.err = s.why(err)
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
func (s *session) denied(e *denial) {
	out := &Error{Class: ClassUnavailable, Err: fmt.Errorf("the broker denied the connection: reason 0x%02x %s",
		e.code, wire.Text(e.reason))}
	switch e.code {
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
