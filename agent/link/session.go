package link

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
)

const (
	receiveMaximum = 16   // the library allocates for all of them in advance
	sessionExpiry  = 3600 // seconds; must exceed willDelay
	willDelay      = 60   // seconds
)

// session is what the MQTT connections of a keeper have in common, and tells changed about them.
type session struct {
	cfg     Config
	dial    *dialer
	deliver func(topic string, payload []byte)
	changed func() // something that state shows has changed; must not block
	keeper  *keeper

	mu        sync.Mutex
	ladder    ladder
	backoff   backoff
	war       war
	started   bool
	next      *mqttConn // that is being made
	conn      *mqttConn // that is up, or nil
	errs      int       // since the round began
	rounds    int       // that failed since the last connection
	err       error     // why, the last time
	holdUntil time.Time
	dirty     bool // the library still holds messages of the last connection
	trouble   map[string]bool
}

// startSession begins to connect. deliver and changed are called from its goroutines.
func startSession(cfg Config, d *dialer, deliver func(string, []byte), changed func()) *session {
	t := cfg.Timing
	s := &session{cfg: cfg, dial: d, deliver: deliver, changed: changed, trouble: map[string]bool{},
		ladder: ladder{rungs: cfg.Transports}, backoff: backoff{min: t.BackoffMin, max: t.BackoffMax, rand: cfg.Rand}}
	s.keeper = startKeeper(s)
	return s
}

// up is called when the broker has taken the connection.
func (s *session) up() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = s.next
	s.conn.since = time.Now()
	s.ladder.worked(s.conn.transport)
	s.rounds, s.err, s.dirty = 0, nil, false
	delete(s.trouble, wire.TroubleRefused)
	delete(s.trouble, wire.TroubleBlocked)
	s.changed()
}

// down is called when the connection is lost.
func (s *session) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	lasted := time.Since(s.conn.since)
	if lasted >= s.cfg.Timing.Stable {
		s.backoff.reset()
	}
	if lasted >= max(warWindow, 2*s.cfg.Timing.Hold) {
		delete(s.trouble, wire.TroubleDuplicate)
	}
	s.dirty = s.conn.unanswered.Load() > 0
	s.conn.cancel()
	s.conn = nil
	s.changed()
}

// dismissed is called when the broker said why it closes the connection.
func (s *session) dismissed(d *paho.Disconnect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Log.Info("link: the broker closed the connection", "reason", fmt.Sprintf("0x%02x", d.ReasonCode))
	if d.ReasonCode != packets.DisconnectSessionTakenOver {
		return
	}
	if war := s.war.takeover(time.Now()); !war && !s.trouble[wire.TroubleDuplicate] {
		return
	}
	s.cfg.Log.Error("link: another client uses the identity of this device, was its image copied? enrol one of them anew",
		"device", s.cfg.Device, "pause", s.cfg.Timing.Hold)
	s.trouble[wire.TroubleDuplicate] = true
	s.holdFor(around(s.cfg.Timing.Hold, s.cfg.Rand))
	s.changed()
}

// broken is called when a connection ends without a word of the broker.
func (s *session) broken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = s.why(err)
	s.cfg.Log.Info("link: the connection to the broker broke", "error", s.err)
}

// received is called for every message, one after the other.
func (s *session) received(p paho.PublishReceived) (bool, error) {
	s.deliver(p.Packet.Topic, p.Packet.Payload)
	return true, nil
}

func (s *session) topic(leaf string) string { return wire.Topic(s.cfg.Tenant, s.cfg.Device, leaf) }

// state is how MQTT is: the connection that is up or nil, the rounds of attempts that have
// failed since the last one, what is wrong, and why. Without a session all of it is nothing.
func (s *session) state() (conn *mqttConn, rounds int, trouble []string, err error) {
	if s == nil {
		return nil, 0, nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		err = s.err
	}
	return s.conn, s.rounds, slices.Sorted(maps.Keys(s.trouble)), err
}

// blocked is told that HTTPS passes although MQTT does not.
func (s *session) blocked() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rounds > 0 && len(s.trouble) == 0 {
		s.trouble[wire.TroubleBlocked] = true
		s.changed()
	}
}

// probe says whether the top of the ladder is open; the next connection begins there then.
func (s *session) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timing.Attempt)
	defer cancel()
	conn, err := s.dialTransport(ctx, s.cfg.Transports[0])
	if err != nil {
		return false
	}
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ladder.good = 0
	return true
}

// stop closes the connection cleanly, or otherwise when ctx ends.
func (s *session) stop(ctx context.Context) {
	if s == nil {
		return
	}
	done := s.keeper.stop()
	select {
	case <-done:
	case <-ctx.Done():
		if conn, _, _, _ := s.state(); conn != nil {
			conn.close()
		}
		<-done
	}
}
