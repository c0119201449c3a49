package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Backend is the director as this package needs it.
type Backend interface {
	// Named is the device of that name; an error where it may not speak.
	Named(ctx context.Context, tenant, device string) (director.Identity, error)
	// Message takes one message.
	Message(ctx context.Context, id director.Identity, leaf string, payload []byte) error
	// Connected notes that a device's connection has begun or ended.
	Connected(ctx context.Context, id director.Identity, online bool) error
	// Letter is a device's newest direction, and to whom it goes.
	Letter(ctx context.Context, device string) (to director.Identity, raw []byte, err error)
}

// Config says where the broker is.
type Config struct {
	// Broker is mqtts://host[:port], or mqtt://host[:port] without TLS, for a broker on the same machine.
	Broker *url.URL
	// TLS has the authorities of the broker's certificate, and perhaps a certificate to show.
	TLS *tls.Config
	// User and Password are for brokers that ask for them; empty for none.
	User, Password string
	// Client names this connection; it must differ from director to director.
	Client  string
	Backend Backend
	Log     *slog.Logger
}

// Parse reads the address of a broker.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "mqtts" && u.Scheme != "mqtt" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("broker %q: want mqtts://host[:port], or mqtt://host[:port] without TLS", address)
	}
	if u.Port() == "" {
		u.Host += map[string]string{"mqtts": ":8883", "mqtt": ":1883"}[u.Scheme]
	}
	return u, nil
}

const (
	keepAlive      = 30  // seconds
	receiveMaximum = 256 // messages under way to us
	queueLength    = 1024
	workers        = 16 // for what comes, by device; and as many for what goes
	packetTimeout  = 10 * time.Second
	backendTimeout = 10 * time.Second
	retryPause     = time.Second
)

// filters is what is subscribed to. Every message goes to one director of the group.
var filters = []string{"$share/fairlead/fw/v1/+/+/" + wire.LeafPresence, "$share/fairlead/fw/v1/+/+/" + wire.LeafProgress,
	"$share/fairlead/fw/v1/+/+/" + wire.LeafReply}

// Client is a connection to a broker that comes again when it is lost. Make it with New and let it Run.
type Client struct {
	Config
	manager atomic.Pointer[autopaho.ConnectionManager]
	up      atomic.Bool // connected and subscribed
	stats   Stats
	inboxes [workers]chan message
	seed    maphash.Seed

	mu      sync.Mutex
	waiting map[string]bool // devices whose direction is to be published
	under   map[string]bool // those that a worker has
	wake    *sync.Cond      // of mu
	ended   bool
}

// Stats count since the start.
type Stats struct {
	Received, Dropped, Refused, Published, Connects atomic.Int64
}

type message struct{ topic, payload string }

// New makes a client that does nothing yet.
func New(c Config) *Client {
	r := &Client{Config: c, seed: maphash.MakeSeed(), waiting: map[string]bool{}, under: map[string]bool{}}
	r.wake = sync.NewCond(&r.mu)
	for i := range r.inboxes {
		r.inboxes[i] = make(chan message, queueLength/workers)
	}
	return r
}

// Stats returns the counters.
func (r *Client) Stats() *Stats { return &r.stats }

// Up says whether the broker is reached.
func (r *Client) Up() bool { return r.up.Load() }

// Push publishes a device's newest direction, when the broker is there. It does not block.
func (r *Client) Push(device string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[device] = true
	r.wake.Signal()
}

// Run keeps the connection up until ctx ends. It fails only if it cannot begin.
func (r *Client) Run(ctx context.Context) error {
	manager, err := autopaho.NewConnection(ctx, r.options(ctx))
	if err != nil {
		return fmt.Errorf("the broker %s: %w", r.Broker.Host, err)
	}
	r.manager.Store(manager)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { r.take(ctx, r.inboxes[i]) })
		all.Go(func() { r.publish(ctx) })
	}
	<-ctx.Done()
	r.mu.Lock()
	r.ended = true
	r.wake.Broadcast()
	r.mu.Unlock()
	all.Wait()
	<-manager.Done()
	return nil
}

func (r *Client) options(ctx context.Context) autopaho.ClientConfig {
	receive, backoff := uint16(receiveMaximum), autopaho.NewExponentialBackoff(500*time.Millisecond, 30*time.Second, 2*time.Second, 2)
	return autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{r.Broker},
		TlsCfg:                        r.TLS,
		KeepAlive:                     keepAlive,
		CleanStartOnInitialConnection: true,
		ConnectTimeout:                packetTimeout,
		ConnectUsername:               r.User,
		ConnectPassword:               []byte(r.Password),
		ReconnectBackoff: func(attempt int) time.Duration {
			return max(backoff(attempt+1), time.Duration(rand.Int64N(int64(time.Second)))) // the first one is made random, too
		},
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			c.CleanStart = true
			c.Properties = &paho.ConnectProperties{ReceiveMaximum: &receive}
			return c, nil
		},
		OnConnectionUp: func(m *autopaho.ConnectionManager, _ *paho.Connack) { go r.subscribe(ctx, m) },
		OnConnectionDown: func() bool {
			r.up.Store(false)
			return ctx.Err() == nil
		},
		OnConnectError: func(err error) { r.Log.Warn("the broker is not reached", "broker", r.Broker.Host, "error", err) },
		ClientConfig: paho.ClientConfig{
			ClientID: r.Client, PacketTimeout: packetTimeout, AuthHandler: noAuth{},
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){r.received},
			OnServerDisconnect: func(d *paho.Disconnect) {
				r.Log.Warn("the broker ended the connection", "broker", r.Broker.Host, "reason", fmt.Sprintf("%#x", d.ReasonCode))
			},
		},
	}
}

// subscribe is what a new connection begins with. Without it the connection is of no use, so it is given up.
func (r *Client) subscribe(ctx context.Context, m *autopaho.ConnectionManager) {
	var s paho.Subscribe
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: f, QoS: 1})
	}
	ack, err := m.Subscribe(ctx, &s)
	if err == nil {
		for i, code := range ack.Reasons {
			if code > 2 {
				err = errors.Join(err, fmt.Errorf("subscription %s is refused with %#x: does its access list let the director read it?", filters[i], code))
			}
		}
	}
	if err != nil {
		r.Log.Error("the broker does not let the director hear devices", "broker", r.Broker.Host, "error", err)
		return
	}
	r.stats.Connects.Add(1)
	r.up.Store(true)
	r.Log.Info("connected to the broker", "broker", r.Broker.Host)
	r.mu.Lock()
	r.wake.Broadcast()
	r.mu.Unlock()
}

// received is called for every message, one after the other. What comes is no more than hints: when there are too many, some
// are dropped.
func (r *Client) received(p paho.PublishReceived) (bool, error) {
	r.stats.Received.Add(1)
	tenant, device, leaf, err := wire.ParseTopic(p.Packet.Topic)
	if err != nil || !wire.Up(leaf) || len(p.Packet.Payload) > wire.MaxPayload {
		r.stats.Refused.Add(1)
		return true, nil
	}
	select {
	case r.inboxes[maphash.String(r.seed, tenant+"/"+device)%workers] <- message{p.Packet.Topic, string(p.Packet.Payload)}:
	default:
		r.stats.Dropped.Add(1)
	}
	return true, nil
}

// take stores what devices of one share say, in its order.
func (r *Client) take(ctx context.Context, inbox <-chan message) {
	for {
		select {
		case m := <-inbox:
			if err := r.one(ctx, m); err != nil && ctx.Err() == nil {
				r.stats.Refused.Add(1)
				r.Log.Warn("message is not taken", "topic", m.topic, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (r *Client) one(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	tenant, device, leaf, err := wire.ParseTopic(m.topic)
	if err != nil {
		return err
	}
	id, err := r.Backend.Named(ctx, tenant, device)
	if err != nil {
		return err
	}
	if leaf != wire.LeafPresence {
		return r.Backend.Message(ctx, id, leaf, []byte(m.payload))
	}
	p, err := wire.DecodePresence([]byte(m.payload))
	if err != nil {
		return err
	}
	if p.Online {
		r.Push(device)
	}
	return r.Backend.Connected(ctx, id, p.Online)
}

// publish sends directions, one at a time; of one device there is never more than one under way.
func (r *Client) publish(ctx context.Context) {
	for {
		device, ok := r.next()
		if !ok {
			return
		}
		err := r.send(ctx, device)
		r.mu.Lock()
		delete(r.under, device)
		if err != nil {
			r.waiting[device] = true
		}
		r.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("a direction is not published yet", "device", device, "error", err)
			rest(ctx, retryPause)
		}
	}
}

// next waits for a device that has a direction to come, and for the broker.
func (r *Client) next() (device string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.ended {
		if r.up.Load() {
			for device = range r.waiting {
				if !r.under[device] {
					delete(r.waiting, device)
					r.under[device] = true
					return device, true
				}
			}
		}
		r.wake.Wait()
	}
	return "", false
}

func (r *Client) send(ctx context.Context, device string) error {
	ctx, cancel := context.WithTimeout(ctx, packetTimeout)
	defer cancel()
	to, raw, err := r.Backend.Letter(ctx, device)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is gone
	}
	if err != nil {
		return err
	}
	resp, err := r.manager.Load().Publish(ctx, &paho.Publish{QoS: 1, Topic: wire.Topic(to.Tenant, to.Device, wire.LeafDirection), Payload: raw,
		Properties: &paho.PublishProperties{ContentType: "application/json"}})
	if err != nil {
		return err
	}
	if resp != nil && resp.ReasonCode >= 0x80 {
		return fmt.Errorf("the broker answers %#x: does its access list let the director write there?", resp.ReasonCode)
	}
	r.stats.Published.Add(1)
	return nil
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// noAuth stands where the library would call a missing handler of extended authentication, and
// crash, when a broker asks for it.
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth { return &paho.Auth{ReasonCode: 0x18} }
func (noAuth) Authenticated()                     {}

// Errors of Command.
var (
	ErrDown = errors.New("the broker is not reached now: nothing was sent")
	ErrAway = errors.New("the device is not connected to the broker")
)

// Command publishes a command, which the broker drops after a time. It returns when the broker has it.
func (r *Client) Command(ctx context.Context, to director.Identity, payload []byte, expires time.Duration) error {
	if !r.up.Load() {
		return ErrDown
	}
	ctx, cancel := context.WithTimeout(ctx, packetTimeout)
	defer cancel()
	life := uint32(max(expires, time.Second) / time.Second)
	resp, err := r.manager.Load().Publish(ctx, &paho.Publish{QoS: 1, Topic: wire.Topic(to.Tenant, to.Device, wire.LeafCmd), Payload: payload,
		Properties: &paho.PublishProperties{ContentType: "application/json", MessageExpiry: &life}})
	if err != nil && (resp == nil || resp.ReasonCode < 0x80) {
		return errors.Join(ErrDown, err)
	}
	switch {
	case resp != nil && resp.ReasonCode == 0x10: // nobody is subscribed
		return ErrAway
	case resp != nil && resp.ReasonCode >= 0x80:
		return fmt.Errorf("the broker answers %#x: does its access list let the director write commands?", resp.ReasonCode)
	}
	return nil
}
