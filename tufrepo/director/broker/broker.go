package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
)

// Backend is the director as the broker needs it.
type Backend interface {
	// Message takes one message and returns after it is stored for good.
	Message(ctx context.Context, id director.Identity, leaf string, payload []byte) error
	// Direction returns the newest direction of a device and its version.
	Direction(ctx context.Context, device string) (raw []byte, version int64, err error)
	// Connected notes that a device's connection has begun or ended.
	Connected(ctx context.Context, id director.Identity, online bool) error
}

// Config says how a broker behaves. Zero durations mean the defaults.
type Config struct {
	Backend Backend
	Log     *slog.Logger
	// MaxClients bounds the connections; zero means 100 000.
	MaxClients int
	// ConnectTimeout is how long a connection may take to its CONNECT: 10 s.
	ConnectTimeout time.Duration
	// Pace is waited for before a CONNECT is looked at, so that a fleet that comes back does not
	// ask the backend all at once; nil lets all come.
	Pace func(ctx context.Context) error
	// AckTimeout is how long a device may take to acknowledge a direction before its
	// connection is ended, so that it connects again and gets the newest: 2 min.
	AckTimeout time.Duration
}

const (
	// maxPacket leaves room for topic and properties around the largest payload.
	maxPacket = wire.MaxPayload + 8<<10
	// maxKeepAlive in seconds is what a device that asks for more, or for none, is given.
	maxKeepAlive   = 900
	writeTimeout   = 10 * time.Second
	backendTimeout = 10 * time.Second
	listener       = "fairlead"
)

// Broker serves connections that somebody else has accepted.
type Broker struct {
	Config
	mqtt   *mqtt.Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	stats  Stats

	mu       sync.Mutex
	closed   bool
	open     map[*session]bool   // every connection, also before its CONNECT
	sessions map[string]*session // by device
	wg       sync.WaitGroup      // connections and deliveries
}

// Stats count since the start.
type Stats struct {
	Connects, Received, Rejected, Delivered, Acknowledged, Panics, Takeovers atomic.Int64
}

// New starts a broker. End it with Close.
func New(c Config) (*Broker, error) {
	if c.MaxClients == 0 {
		c.MaxClients = 100_000
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.AckTimeout == 0 {
		c.AckTimeout = 2 * time.Minute
	}
	b := &Broker{Config: c, sessions: map[string]*session{}, open: map[*session]bool{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.mqtt = mqtt.New(&mqtt.Options{
		Capabilities: b.capabilities(),
		// The engine logs whole packets of strangers; what matters is logged here.
		Logger:                 slog.New(slog.DiscardHandler),
		SysTopicResendInterval: 3600,
	})
	if err := b.mqtt.AddHook(&hook{b: b}, nil); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	if err := b.mqtt.Serve(); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return b, nil
}

func (b *Broker) capabilities() *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(b.MaxClients)
	c.MaximumMessageExpiryInterval = 0
	c.MaximumSessionExpiryInterval = 0
	c.MaximumClientWritesPending = 1 // unused: deliveries are written directly
	c.MaximumPacketSize = maxPacket
	c.ReceiveMaximum = 64
	c.MaximumInflight = 64
	c.TopicAliasMaximum = 0
	c.SharedSubAvailable = 0
	c.WildcardSubAvailable = 0
	c.SubIDAvailable = 0
	c.MaximumQos = 1
	c.MinimumProtocolVersion = 5
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return c
}

// Stats returns the counters.
func (b *Broker) Stats() *Stats { return &b.stats }

// Connections is the number of devices connected.
func (b *Broker) Connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// ErrClosed: the broker takes no more connections.
var ErrClosed = errors.New("the broker is closed")

// Proof tells who a device is. It is asked at the beginning of a connection and again while
// it lasts; an error for which director.Withdrawn holds ends it, but for director.IsOffline:
// such a device may fetch its direction and report, for a moment.
type Proof func(ctx context.Context) (director.Identity, error)

// Login makes a proof out of the user name and the password of a CONNECT.
type Login func(user, password string) Proof

// Serve speaks MQTT on c, on which a device has proved who it is, until the connection
// ends, and closes it. Nothing that comes over it can panic out of here.
func (b *Broker) Serve(c net.Conn, proof Proof) error {
	ctx, cancel := context.WithTimeout(b.ctx, backendTimeout)
	defer cancel()
	id, err := proof(ctx)
	if err != nil && !director.IsOffline(err) {
		return errors.Join(err, c.Close())
	}
	return b.serve(c, &session{b: b, id: id, proof: proof, limited: err != nil})
}

// ServeLogin is Serve for a device that is to prove itself in its CONNECT.
func (b *Broker) ServeLogin(c net.Conn, login Login) error {
	return b.serve(c, &session{b: b, login: login})
}

func (b *Broker) serve(c net.Conn, s *session) (err error) {
	s.conn = &conn{Conn: c, session: s}
	if !b.begin(s) {
		return errors.Join(ErrClosed, c.Close())
	}
	defer b.wg.Done()
	defer s.conn.Close()
	defer b.leave(s)
	defer func() {
		if p := recover(); p != nil {
			b.stats.Panics.Add(1)
			b.Log.Error("broken packet ended the connection", "device", s.id.Device, "remote", c.RemoteAddr().String(), "panic", p)
			err = fmt.Errorf("broken packet: %v", p)
		}
	}()
	if err := c.SetDeadline(time.Now().Add(b.ConnectTimeout)); err != nil {
		return err
	}
	return b.mqtt.EstablishConnection(listener, s.conn)
}

// enter makes s the device's session. One that was there is ended first, so that nothing
// of it is inherited.
func (b *Broker) enter(s *session, cl *mqtt.Client) {
	b.mu.Lock()
	old := b.sessions[s.id.Device]
	b.sessions[s.id.Device] = s
	b.mu.Unlock()
	s.setClient(cl)
	if old == nil {
		return
	}
	b.stats.Takeovers.Add(1)
	b.Log.Warn("a second connection has taken over; often means a copied identity", "device", s.id.Device,
		"old", old.conn.RemoteAddr().String(), "new", s.conn.RemoteAddr().String())
	if was := old.client(); was != nil {
		_ = b.mqtt.DisconnectClient(was, packets.ErrSessionTakenOver)
		was.ClearInflights()
		b.mqtt.UnsubscribeClient(was)
	}
}

// leave ends s, and the device's presence unless another session has taken over.
func (b *Broker) leave(s *session) {
	s.end()
	b.mu.Lock()
	delete(b.open, s)
	current := b.sessions[s.id.Device] == s
	if current {
		delete(b.sessions, s.id.Device)
	}
	b.mu.Unlock()
	if current {
		b.tell(s.id, false)
	}
}

// tell notes the presence of a device; it is a hint, so failure is only logged.
func (b *Broker) tell(id director.Identity, online bool) {
	// Not b.ctx: the last words of a closing broker count.
	ctx, cancel := context.WithTimeout(context.Background(), backendTimeout)
	defer cancel()
	if err := b.Backend.Connected(ctx, id, online); err != nil {
		b.Log.Warn("presence is not stored", "device", id.Device, "online", online, "error", err)
	}
}

// Push sends a device its newest direction if it is connected. It does not block.
func (b *Broker) Push(device string) {
	b.mu.Lock()
	s := b.sessions[device]
	b.mu.Unlock()
	if s != nil {
		s.push()
	}
}

// Recheck asks anew who is connected, all of them or only those that are limited, and ends
// the connections of those who may not be any more. It returns how many.
func (b *Broker) Recheck(ctx context.Context, all bool) (ended int) {
	b.mu.Lock()
	sessions := slices.Collect(maps.Values(b.sessions))
	b.mu.Unlock()
	for _, s := range sessions {
		if ctx.Err() != nil {
			return ended
		}
		if !s.overdue() && !all {
			continue
		}
		_, err := s.proof(ctx)
		if err == nil || !director.Withdrawn(err) {
			continue
		}
		if director.IsOffline(err) && s.limit() {
			continue // until the next time: it may be about to fetch its direction
		}
		b.Log.Info("connection ended", "device", s.id.Device, "reason", err)
		s.disconnect(packets.ErrNotAuthorized)
		ended++
	}
	return ended
}

// Kick ends the connection of a device, whose identity was withdrawn.
func (b *Broker) Kick(device string) {
	b.mu.Lock()
	s := b.sessions[device]
	b.mu.Unlock()
	if s != nil {
		s.disconnect(packets.ErrNotAuthorized)
	}
}
