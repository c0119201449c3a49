package broker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	mqtt "github.com/mochi-mqtt/server/v2"
	mochi "github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// backend is a director in memory, with the real one's contract.
type backend struct {
	mu         sync.Mutex
	fail       error
	messages   []string // leaf + " " + payload
	directions map[string]string
	versions   map[string]int64
	online     map[string]bool
	refused    map[string]error
	changed    chan struct{} // one for every change of online
}

func newBackend() *backend {
	return &backend{directions: map[string]string{}, versions: map[string]int64{}, online: map[string]bool{}, refused: map[string]error{}, changed: make(chan struct{}, 1000)}
}

func (b *backend) Message(_ context.Context, id director.Identity, leaf string, payload []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.messages = append(b.messages, id.Device+" "+leaf+" "+string(payload))
	return nil
}

func (b *backend) Direction(_ context.Context, device string) ([]byte, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.versions[device] == 0 {
		return nil, 0, errors.New("none")
	}
	return []byte(b.directions[device]), b.versions[device], nil
}

func (b *backend) Connected(_ context.Context, id director.Identity, online bool) error {
	b.mu.Lock()
	b.online[id.Device] = online
	b.mu.Unlock()
	b.changed <- struct{}{}
	return nil
}

// refuse makes the proof of a device fail from now on; nil makes it good again.
func (b *backend) refuse(device string, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused[device] = why
}

func (b *backend) proof(device string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused[device]
}

func (b *backend) direct(device, raw string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.directions[device] = raw
	b.versions[device]++
}

func (b *backend) got() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.messages...)
}

// door lets devices in to a broker, ours or the unguarded engine.
type door struct {
	t     testing.TB
	ln    net.Listener
	serve func(net.Conn, director.Identity) error

	*broker.Broker
	backend *backend

	mu     sync.Mutex
	inside []net.Conn
	ids    map[string]director.Identity // by remote address
	end    map[string]chan error        // what serve returned
}

func newDoor(t testing.TB, c broker.Config) *door {
	t.Helper()
	back := newBackend()
	c.Backend, c.Log = back, slog.New(slog.NewTextHandler(io.Discard, nil))
	b, err := broker.New(c)
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	d := open(t, func(c net.Conn, id director.Identity) error {
		return b.Serve(c, func(context.Context) (director.Identity, error) { return id, back.proof(id.Device) })
	})
	d.Broker, d.backend = b, back
	return d
}

// stock is the engine as it comes, with one permissive hook.
func stock(t testing.TB, hook mqtt.Hook, change func(*mqtt.Capabilities)) (*door, *mqtt.Server) {
	t.Helper()
	caps := mqtt.NewDefaultServerCapabilities()
	if change != nil {
		change(caps)
	}
	s := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true, Capabilities: caps})
	must(t, s.AddHook(hook, nil))
	must(t, s.Serve())
	t.Cleanup(func() { s.Close() }) // after its connections
	d := open(t, func(c net.Conn, _ director.Identity) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = errPanic
			}
		}()
		return s.EstablishConnection("stock", c)
	})
	return d, s
}

var errPanic = errors.New("panic: without the recover of this test the process would be gone")

// permissive is a hook that allows everything but what deny says.
type permissive struct {
	mqtt.HookBase
	deny func(client, topic string, write bool) bool
}

func (*permissive) ID() string { return "permissive" }
func (*permissive) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}
func (*permissive) OnConnectAuthenticate(*mqtt.Client, mochi.Packet) bool { return true }
func (p *permissive) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	return p.deny == nil || !p.deny(string(cl.Properties.Username), topic, write)
}

func open(t testing.TB, serve func(net.Conn, director.Identity) error) *door {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	d := &door{t: t, ln: ln, serve: serve, ids: map[string]director.Identity{}, end: map[string]chan error{}}
	var wg sync.WaitGroup
	wg.Go(func() { d.accept(&wg) })
	t.Cleanup(func() {
		ln.Close()
		d.mu.Lock()
		for _, c := range d.inside {
			c.Close()
		}
		d.mu.Unlock()
		wg.Wait()
	})
	return d
}

func (d *door) accept(wg *sync.WaitGroup) {
	for {
		c, err := d.ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			d.mu.Lock()
			d.inside = append(d.inside, c)
			id, end := d.ids[c.RemoteAddr().String()], d.end[c.RemoteAddr().String()]
			d.mu.Unlock()
			end <- d.serve(c, id)
		})
	}
}

// peer is a device that speaks raw MQTT.
type peer struct {
	net.Conn
	t   testing.TB
	id  director.Identity
	end chan error // the server's side has ended

	early []*packets.Publish // deliveries that came while something else was waited for
}

func (d *door) dial(device string) *peer {
	d.t.Helper()
	id := director.Identity{Tenant: "acme", Device: device}
	d.mu.Lock() // the other side looks the address up after this
	defer d.mu.Unlock()
	c, err := net.Dial("tcp", d.ln.Addr().String())
	must(d.t, err)
	d.t.Cleanup(func() { c.Close() })
	must(d.t, c.SetDeadline(time.Now().Add(20*time.Second)))
	p := &peer{Conn: c, t: d.t, id: id, end: make(chan error, 1)}
	d.ids[c.LocalAddr().String()], d.end[c.LocalAddr().String()] = id, p.end
	return p
}

func (p *peer) topic(leaf string) string { return wire.Topic(p.id.Tenant, p.id.Device, leaf) }

func (p *peer) send(content packets.Packet) {
	p.t.Helper()
	if _, err := content.WriteTo(p.Conn); err != nil {
		p.t.Fatal(err)
	}
}

// connect sends a CONNECT and returns the CONNACK.
func (p *peer) connect(change func(*packets.Connect)) *packets.Connack {
	p.t.Helper()
	c := &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: p.id.Device, KeepAlive: 60, CleanStart: true, Properties: &packets.Properties{}}
	if change != nil {
		change(c)
	}
	p.send(c)
	return p.recv().Content.(*packets.Connack)
}

// connected is a peer whose CONNECT was accepted.
func (d *door) connected(device string) *peer {
	d.t.Helper()
	p := d.dial(device)
	if ack := p.connect(nil); ack.ReasonCode != 0 {
		d.t.Fatalf("connect: reason %#x", ack.ReasonCode)
	}
	return p
}

func (p *peer) recv() *packets.ControlPacket {
	p.t.Helper()
	pk, err := packets.ReadPacket(p.Conn)
	if err != nil {
		p.t.Fatalf("waiting for a packet: %v", err)
	}
	return pk
}

// until reads packets until f says that this one was waited for.
func (p *peer) until(f func(packets.Packet) bool) {
	p.t.Helper()
	for {
		content := p.recv().Content
		if f(content) {
			return
		}
		if pub, ok := content.(*packets.Publish); ok {
			p.early = append(p.early, pub)
		}
	}
}

// subscribe returns the reason code.
func (p *peer) subscribe(id uint16, filter string, change ...func(*packets.SubOptions)) (reason byte) {
	p.t.Helper()
	o := packets.SubOptions{Topic: filter, QoS: 1}
	for _, f := range change {
		f(&o)
	}
	p.send(&packets.Subscribe{PacketID: id, Subscriptions: []packets.SubOptions{o}, Properties: &packets.Properties{}})
	p.until(func(c packets.Packet) bool {
		ack, ok := c.(*packets.Suback)
		if ok {
			reason = ack.Reasons[0]
		}
		return ok
	})
	return reason
}

// publish sends with QoS 1 and returns the PUBACK's reason.
func (p *peer) publish(id uint16, topic, payload string) (reason byte) {
	p.t.Helper()
	p.send(&packets.Publish{PacketID: id, QoS: 1, Topic: topic, Payload: []byte(payload), Properties: &packets.Properties{}})
	p.until(func(c packets.Packet) bool {
		ack, ok := c.(*packets.Puback)
		if ok {
			reason = ack.ReasonCode
		}
		return ok
	})
	return reason
}

// delivery is the next PUBLISH.
func (p *peer) delivery() (pub *packets.Publish) {
	p.t.Helper()
	if len(p.early) == 0 {
		p.until(func(c packets.Packet) (ok bool) {
			pub, ok = c.(*packets.Publish)
			return ok
		})
		return pub
	}
	pub, p.early = p.early[0], p.early[1:]
	return pub
}

func (p *peer) ack(pub *packets.Publish) {
	p.t.Helper()
	p.send(&packets.Puback{PacketID: pub.PacketID, Properties: &packets.Properties{}})
}

// gone waits for the end and returns the reason of a DISCONNECT, or 0.
func (p *peer) gone() byte {
	p.t.Helper()
	var reason byte
	for {
		pk, err := packets.ReadPacket(p.Conn)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			p.t.Fatal("the connection was not ended")
		}
		if err != nil {
			return reason
		}
		if d, ok := pk.Content.(*packets.Disconnect); ok {
			reason = d.ReasonCode
		}
	}
}

// alive shows that the broker still serves the peer.
func (p *peer) alive() {
	p.t.Helper()
	p.send(&packets.Pingreq{})
	p.until(func(c packets.Packet) bool { _, ok := c.(*packets.Pingresp); return ok })
}

// quiet is alive without a delivery that nobody has asked for.
func (p *peer) quiet() {
	p.t.Helper()
	p.alive()
	for _, pub := range p.early {
		p.t.Errorf("unexpected delivery: %v", pub)
	}
	p.early = nil
}
