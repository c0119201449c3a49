package broker

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// conn is the connection as the engine sees it: it knows its session, and no write blocks
// for longer than writeTimeout.
type conn struct {
	net.Conn
	session *session
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// session is one connection of one device, from accept to close.
type session struct {
	b     *Broker
	id    director.Identity // set before the session is known to others
	conn  *conn
	proof Proof // of id
	login Login // nil where the connection itself has proved it

	mu      sync.Mutex
	mqtt    *mqtt.Client // nil until the CONNECT is accepted
	limited bool         // it may fetch its direction and report
	noticed bool         // it was limited when somebody looked
	ended   bool
	sub     *packets.Subscription // to the direction; nil if there is none
	fresh   bool                  // the next delivery answers a SUBSCRIBE
	dirty   bool                  // there may be something newer than was sent
	busy    bool                  // a delivery goroutine runs
	packet  uint16                // id of the last delivery
	unack   *time.Timer           // runs while that is not acknowledged
	sent    int64                 // version of the last delivery

	listens   bool          // is subscribed to commands
	commandID uint16        // packet id of the last command
	commanded *time.Timer   // runs while that is not acknowledged
	freed     chan struct{} // closed when commanded is nil again
}

func (s *session) client() *mqtt.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mqtt
}

func (s *session) setClient(cl *mqtt.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mqtt = cl
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.unack != nil {
		s.unack.Stop()
	}
	s.stopCommand()
}

// disconnect says why and ends the connection.
func (s *session) disconnect(why packets.Code) {
	if cl := s.client(); cl != nil {
		_ = s.b.mqtt.DisconnectClient(cl, why) // closes, whatever becomes of the word
		return
	}
	s.conn.Close()
}

// prove settles who is there, for a session that is to prove it in its CONNECT. A device that
// is refused for good hears another reason than one whose proof cannot be checked now.
func (s *session) prove(c packets.ConnectParams) packets.Code {
	switch {
	case s.login == nil:
		return packets.CodeSuccess
	case !c.PasswordFlag:
		return packets.ErrNotAuthorized
	}
	ctx, cancel := context.WithTimeout(s.b.ctx, backendTimeout)
	defer cancel()
	s.proof = s.login(string(c.Username), string(c.Password))
	id, err := s.proof(ctx)
	switch {
	case err != nil && !director.Withdrawn(err):
		return packets.ErrServerUnavailable
	case err != nil && !director.IsOffline(err):
		return packets.ErrBadUsernameOrPassword
	}
	s.id, s.limited = id, err != nil
	return packets.CodeSuccess
}

// limit limits a session, and says whether that is news.
func (s *session) limit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := !s.noticed
	s.limited, s.noticed = true, true
	return news
}

// overdue says whether a session should be looked at though nothing was withdrawn.
func (s *session) overdue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

// may says whether the device may say something on leaf now.
func (s *session) may(leaf string) bool {
	return !s.overdue() || leaf == wire.LeafReported || leaf == wire.LeafPresence
}

// reported lifts the limit of a device that was switched on again, which its report has said.
func (s *session) reported(ctx context.Context) {
	if !s.overdue() {
		return
	}
	if _, err := s.proof(ctx); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.limited, s.noticed = false, false
	}
}

// granted notes the subscription to the direction. What is retained is due at once, unless
// the subscriber does not want it (MQTT 5, 3.8.3.1).
func (s *session) granted(sub packets.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.RetainHandling == 0 || sub.RetainHandling == 1 && s.sub == nil {
		s.dirty, s.fresh = true, true
	}
	s.sub = &sub
}

// subscribed delivers what granted has found to be due.
func (s *session) subscribed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start()
}

func (s *session) unsubscribe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub = nil
}

// push starts a delivery, or notes that one is due after the one under way.
func (s *session) push() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	s.start()
}

// start runs a delivery if one is due and none is under way. s.mu is held.
func (s *session) start() {
	if s.ended || s.busy || !s.dirty || s.unack != nil || s.sub == nil || s.mqtt == nil {
		return
	}
	if !s.b.begin(s) {
		return
	}
	s.busy = true
	go func() {
		defer s.b.wg.Done()
		s.deliver()
	}()
}

// deliver sends the newest direction once.
func (s *session) deliver() {
	pk, cl, version, err := s.next()
	if err == nil && cl != nil {
		err = cl.WritePacket(pk)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	switch {
	case err != nil:
		s.stopWaiting()
		if !s.ended && !errors.Is(err, store.ErrNotFound) && s.b.ctx.Err() == nil {
			s.b.Log.Warn("direction is not delivered; the device will poll", "device", s.id.Device, "error", err)
		}
	case cl != nil:
		s.sent = version
	}
	s.start()
}

// next makes the packet to send; the client is nil if the device has it already.
func (s *session) next() (packets.Packet, *mqtt.Client, int64, error) {
	s.mu.Lock()
	fresh := s.fresh
	s.dirty, s.fresh = false, false
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.b.ctx, backendTimeout)
	defer cancel()
	raw, version, err := s.b.Backend.Direction(ctx, s.id.Device)
	if err != nil {
		return packets.Packet{}, nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.sub == nil || !fresh && version == s.sent {
		return packets.Packet{}, nil, 0, nil
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: min(s.sub.Qos, 1), Retain: fresh || s.sub.RetainAsPublished},
		TopicName:   wire.Topic(s.id.Tenant, s.id.Device, wire.LeafDirection),
		Payload:     raw,
		Created:     time.Now().Unix(),
	}
	if pk.FixedHeader.Qos > 0 {
		s.packet = s.packet%(commandIDs-1) + 1
		pk.PacketID = s.packet
		// Before the write: the answer may be here before it returns.
		s.unack = time.AfterFunc(s.b.AckTimeout, s.giveUp)
	}
	s.b.stats.Delivered.Add(1)
	return pk, s.mqtt, version, nil
}

// acknowledged is a PUBACK.
func (s *session) acknowledged(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.commandID {
		s.stopCommand()
		return
	}
	if s.unack == nil || id != s.packet {
		return
	}
	s.b.stats.Acknowledged.Add(1)
	s.stopWaiting()
	s.start()
}

func (s *session) stopWaiting() {
	if s.unack != nil {
		s.unack.Stop()
		s.unack = nil
	}
}

// giveUp ends a connection on which no PUBACK comes: only a new one may send again
// (MQTT 5, 4.4).
func (s *session) giveUp() {
	s.b.Log.Warn("device does not acknowledge its direction, or a command", "device", s.id.Device)
	s.disconnect(packets.ErrUnspecifiedError)
}
