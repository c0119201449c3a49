package agenttest

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/fairlead/fairlead/agent/wire"
)

// broker is what a site speaks MQTT with: directions go down when a device subscribes, and
// what devices say is taken as over HTTPS.
type broker struct {
	mqtt.HookBase
	site    *Site
	server  *mqtt.Server
	mu      sync.Mutex
	replies []wire.Reply
}

// StartMQTT offers MQTT on the site's port from now on. stop ends it.
func (s *Site) StartMQTT() (stop func()) {
	caps := mqtt.NewDefaultServerCapabilities()
	b := &broker{site: s, server: mqtt.New(&mqtt.Options{Capabilities: caps, InlineClient: true, SysTopicResendInterval: 3600,
		Logger: slog.New(slog.DiscardHandler)})}
	check(b.server.AddHook(b, nil))
	check(b.server.Serve())
	s.mu.Lock()
	s.broker = b
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.broker = nil
		s.mu.Unlock()
		check(b.server.Close())
	}
}

// mqttConn is what the HTTP server does with a connection that agreed on MQTT.
func (s *Site) mqttConn(_ *http.Server, c *tls.Conn, _ http.Handler) {
	defer c.Close()
	s.mu.Lock()
	b := s.broker
	if b == nil {
		s.mu.Unlock()
		return
	}
	b.server.Listeners.ClientsWg.Add(1) // not while it closes
	s.mu.Unlock()
	defer b.server.Listeners.ClientsWg.Done()
	_ = b.server.EstablishConnection("tls", c)
}

// Cmd sends a command to a device.
func (s *Site) Cmd(id string, c wire.Cmd) {
	payload, err := wire.Encode(c)
	check(err)
	check(s.broker.server.Publish(wire.Topic(Tenant, id, wire.LeafCmd), payload, false, 1))
}

// Replies are the answers to commands, as they came.
func (s *Site) Replies() []wire.Reply {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return append([]wire.Reply(nil), s.broker.replies...)
}

// ID implements mqtt.Hook.
func (b *broker) ID() string { return "agenttest" }

// Provides implements mqtt.Hook.
func (b *broker) Provides(hook byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnSubscribed}, []byte{hook})
}

// OnConnect works around the broker's flow control, which stalls.
func (b *broker) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	cl.Properties.Props.ReceiveMaximum = 0
	cl.State.Inflight.ResetSendQuota(0)
	return nil
}

// OnConnectAuthenticate lets everybody in: devices of tests are not each other's enemies.
func (b *broker) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck keeps each device to its own topics.
func (b *broker) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	_, device, leaf, err := wire.ParseTopic(topic)
	return err == nil && device == cl.ID && wire.Up(leaf) == write
}

// OnSubscribed sends the direction.
func (b *broker) OnSubscribed(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	for _, sub := range pk.Filters {
		_, device, leaf, err := wire.ParseTopic(sub.Filter)
		if err != nil || leaf != wire.LeafDirection {
			continue
		}
		b.site.mu.Lock()
		raw := b.site.devices[device].raw
		b.site.mu.Unlock()
		if raw != nil {
			_ = b.server.Publish(sub.Filter, raw, true, 1)
		}
	}
}

// OnPublish takes what a device says.
func (b *broker) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	_, device, leaf, err := wire.ParseTopic(pk.TopicName)
	if err != nil {
		return pk, packets.ErrTopicNameInvalid
	}
	var said wire.Reports
	switch leaf {
	case wire.LeafReply:
		r, err := wire.DecodeReply(pk.Payload)
		check(err)
		b.mu.Lock()
		b.replies = append(b.replies, r)
		b.mu.Unlock()
	case wire.LeafEvent:
		e, err := wire.DecodeEvent(pk.Payload)
		check(err)
		said.Events = []wire.Event{e}
	case wire.LeafReported:
		r, err := wire.DecodeReported(pk.Payload)
		check(err)
		said.Reported = &r
	}
	b.site.mu.Lock()
	defer b.site.mu.Unlock()
	b.site.devices[device].take(said)
	return pk, nil
}
