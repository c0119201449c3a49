package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	mqtt "github.com/mochi-mqtt/server/v2"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

// Each test here is named after a defect of the engine. "stock" shows that the engine has
// it: if that fails one day, the guard in this package may go.

// malformedSubscribe has a filter and no options behind it.
var malformedSubscribe = []byte{0x82, 0x06, 0x00, 0x01, 0x00, 0x00, 0x01, 'a'}

func TestMalformedSubscribe(t *testing.T) {
	t.Run("stock", func(t *testing.T) {
		d, _ := stock(t, &permissive{}, nil)
		p := d.connected("d1")
		p.Write(malformedSubscribe)
		if err := <-p.end; !errors.Is(err, errPanic) {
			t.Errorf("the engine has survived: %v", err)
		}
	})
	d := newDoor(t, broker.Config{})
	other := d.connected("d2")
	for range 3 {
		p := d.connected("d1")
		p.Write(malformedSubscribe)
		p.gone()
		<-p.end
	}
	other.alive()
	if n := d.Stats().Panics.Load(); n != 3 {
		t.Errorf("%d panics were caught, want 3", n)
	}
	if n := d.Connections(); n != 1 {
		t.Errorf("%d connections are left, want 1", n)
	}
	back := d.connected("d1")
	if code := back.subscribe(1, back.topic(wire.LeafCmd)); code != 1 {
		t.Errorf("the same device comes back and subscribes: %#x", code)
	}
}

func TestReceiveMaximumStall(t *testing.T) {
	const n = 300
	one := uint16(1)
	small := func(c *packets.Connect) { c.Properties.ReceiveMaximum = &one }
	t.Run("stock", func(t *testing.T) {
		d, s := stock(t, &permissive{}, nil)
		p := d.dial("d1")
		p.connect(small)
		p.subscribe(1, "x")
		for i := range n {
			must(t, s.Publish("x", fmt.Append(nil, i), false, 1))
		}
		must(t, p.SetDeadline(time.Now().Add(500*time.Millisecond)))
		var got int
		for ; ; got++ {
			pk, err := packets.ReadPacket(p.Conn)
			if err != nil {
				break
			}
			p.ack(pk.Content.(*packets.Publish))
		}
		if got == n {
			t.Error("the engine has delivered everything")
		}
	})
	d := newDoor(t, broker.Config{})
	p := d.dial("d1")
	p.connect(small)
	d.backend.direct("d1", "0")
	p.subscribe(1, p.topic(wire.LeafDirection))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			d.backend.direct("d1", fmt.Sprint(i+1))
			d.Push("d1")
		}
	}()
	for last := ""; last != fmt.Sprint(n); {
		pub := p.delivery()
		last = string(pub.Payload)
		p.quiet() // nothing more comes before the ack
		p.ack(pub)
	}
	<-done
}

// TestACLPrefix: the ACL that comes with the engine takes "allowed/secret" for "allowed". It
// is not used here, so it is not shown failing.
func TestACLPrefix(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.connected("d1")
	for id, topic := range foreignTopics(p) {
		if code := p.publish(uint16(id+1), topic, "x"); code != 0x87 {
			t.Errorf("publish to %q: %#x, want not authorized", topic, code)
		}
	}
	for id, filter := range append(foreignTopics(p), "#", "+/+/+/+/+", "fw/v1/acme/+/direction", "fw/v1/acme/d1/#",
		"fw/v1/acme/d1/+", "$share/g/"+p.topic(wire.LeafDirection), "$SYS/broker/version", "$SYS/#") {
		if code := p.subscribe(uint16(id+1), filter); code < 0x80 {
			t.Errorf("subscribe to %q: %#x", filter, code)
		}
	}
	for id, leaf := range []string{wire.LeafEvent, wire.LeafReported, wire.LeafPresence, wire.LeafProgress, wire.LeafReply} {
		if code := p.publish(uint16(id+1), p.topic(leaf), "x"); code != 0 {
			t.Errorf("publish to its own %s: %#x", leaf, code)
		}
		if code := p.subscribe(uint16(id+1), p.topic(leaf)); code != 0x87 {
			t.Errorf("subscribe to its own %s: %#x", leaf, code)
		}
	}
	for id, leaf := range []string{wire.LeafDirection, wire.LeafCmd} {
		if code := p.publish(uint16(id+1), p.topic(leaf), "x"); code != 0x87 {
			t.Errorf("publish to its own %s: %#x", leaf, code)
		}
		if code := p.subscribe(uint16(id+1), p.topic(leaf)); code != 1 {
			t.Errorf("subscribe to its own %s: %#x", leaf, code)
		}
	}
	if got := d.backend.got(); len(got) != 5 {
		t.Errorf("%d messages have arrived, want 5: %q", len(got), got)
	}
}

// foreignTopics are topics near the device's own that are not its own.
func foreignTopics(p *peer) []string {
	var out []string
	for _, leaf := range []string{wire.LeafEvent, wire.LeafDirection} {
		own := p.topic(leaf)
		out = append(out, own+"/more", own+"x", strings.ToUpper(own), "/"+own, own+"/", own+" ",
			wire.Topic("acme", "d2", leaf), wire.Topic("globex", "d1", leaf), wire.Topic("acme", "d", leaf),
			strings.Replace(own, "v1", "v2", 1), strings.TrimPrefix(own, "fw/"))
	}
	return append(out, p.topic("telemetry"))
}

func TestWillSkipsACL(t *testing.T) {
	will := func(topic string) func(*packets.Connect) {
		return func(c *packets.Connect) {
			c.WillFlag, c.WillTopic, c.WillMessage, c.WillQOS, c.WillRetain, c.WillProperties = true, topic, []byte("boo"), 1, true, &packets.Properties{}
		}
	}
	t.Run("stock", func(t *testing.T) {
		d, _ := stock(t, &permissive{deny: func(_, topic string, write bool) bool { return write }}, nil)
		victim := d.connected("victim")
		victim.subscribe(1, "victim/topic")
		p := d.dial("d1")
		p.connect(will("victim/topic"))
		p.Close()
		if pub := victim.delivery(); string(pub.Payload) != "boo" {
			t.Errorf("the engine delivered %q", pub.Payload)
		}
	})
	d := newDoor(t, broker.Config{})
	for _, topic := range append(foreignTopics(d.dial("d1")), wire.Topic("acme", "d1", wire.LeafEvent), wire.Topic("acme", "d1", wire.LeafDirection), "$SYS/x") {
		p := d.dial("d1")
		if ack := p.connect(will(topic)); ack.ReasonCode != 0x87 {
			t.Errorf("a will on %q: %#x, want not authorized", topic, ack.ReasonCode)
		}
		p.gone()
	}
	p := d.dial("d1")
	if ack := p.connect(will(p.topic(wire.LeafPresence))); ack.ReasonCode != 0 {
		t.Fatalf("a will on its own presence: %#x", ack.ReasonCode)
	}
	<-d.backend.changed
	p.Close()
	<-p.end
	<-d.backend.changed
	if d.backend.online["d1"] {
		t.Error("the device is not offline")
	}
	if got := d.backend.got(); len(got) != 0 {
		t.Errorf("the will has arrived as a message: %q", got)
	}
}

func TestResumedSessionSkipsACL(t *testing.T) {
	hour := uint32(3600)
	as := func(id, user string) func(*packets.Connect) {
		return func(c *packets.Connect) {
			c.ClientID, c.CleanStart, c.Properties.SessionExpiryInterval = id, false, &hour
			c.UsernameFlag, c.Username = user != "", user
		}
	}
	t.Run("stock", func(t *testing.T) {
		d, s := stock(t, &permissive{deny: func(user, topic string, _ bool) bool { return user == "mallory" && topic == "secret" }}, nil)
		alice := d.dial("alice")
		alice.connect(as("shared", "alice"))
		alice.subscribe(1, "secret")
		alice.Close()
		<-alice.end
		must(t, s.Publish("secret", []byte("for alice"), false, 1))
		mallory := d.dial("mallory")
		mallory.connect(as("shared", "mallory"))
		if pub := mallory.delivery(); string(pub.Payload) != "for alice" {
			t.Errorf("the engine delivered %q", pub.Payload)
		}
	})
	d := newDoor(t, broker.Config{})
	d.backend.direct("d1", "for d1")
	victim := d.dial("d1")
	ack := victim.connect(as("d1", ""))
	if e := ack.Properties.SessionExpiryInterval; e == nil || *e != 0 {
		t.Errorf("the CONNACK leaves the session alive: %v", e)
	}
	victim.subscribe(1, victim.topic(wire.LeafDirection))
	victim.delivery() // and is not acknowledged
	for _, id := range []string{"d1", "", "D1", "d1 "} {
		p := d.dial("d2")
		if ack := p.connect(as(id, "")); ack.ReasonCode != 0x85 {
			t.Errorf("device d2 as client %q: %#x, want client identifier not valid", id, ack.ReasonCode)
		}
		p.gone()
	}
	victim.alive()
	// While the first connection is open, and after it has ended: nothing is resumed.
	second := d.dial("d1")
	if ack := second.connect(as("d1", "")); ack.SessionPresent {
		t.Error("a taken over session is resumed")
	}
	if reason := victim.gone(); reason != 0x8e {
		t.Errorf("the first connection ended with %#x, want session taken over", reason)
	}
	second.quiet() // would show what was inherited before the pong
	second.Close()
	<-second.end
	third := d.dial("d1")
	if ack := third.connect(as("d1", "")); ack.SessionPresent {
		t.Error("an ended session is resumed")
	}
}

// TestRetainedVanishesAfterADay: the engine drops what is older than a day. Here nothing
// is in it that could vanish: a broker that has just started delivers what the database
// has.
func TestRetainedVanishesAfterADay(t *testing.T) {
	t.Run("stock", func(t *testing.T) {
		if n := mqtt.NewDefaultServerCapabilities().MaximumMessageExpiryInterval; n != 86400 {
			t.Errorf("the engine keeps messages for %d seconds", n)
		}
	})
	d := newDoor(t, broker.Config{})
	d.backend.direct("d1", "from long ago")
	for range 2 {
		p := d.connected("d1")
		p.subscribe(1, p.topic(wire.LeafDirection))
		if pub := p.delivery(); string(pub.Payload) != "from long ago" || !pub.Retain || pub.QoS != 1 || pub.Properties.MessageExpiry != nil {
			t.Errorf("delivered %v", pub)
		}
		p.Close()
		<-p.end
	}
}

func TestSilentConnection(t *testing.T) {
	t.Run("stock", func(t *testing.T) {
		d, _ := stock(t, &permissive{}, nil)
		p := d.dial("d1")
		p.Write([]byte{0x10})
		select {
		case err := <-p.end:
			t.Errorf("the engine has ended a silent connection: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
		p.Close()
	})
	d := newDoor(t, broker.Config{ConnectTimeout: 50 * time.Millisecond})
	for _, begin := range [][]byte{nil, {0x10}, {0x10, 0xff, 0xff}, {0x10, 20, 0, 4, 'M'}} {
		p := d.dial("d1")
		p.Write(begin)
		if err := <-p.end; err == nil {
			t.Errorf("after %x: no error", begin)
		}
	}
	for asked, want := range map[uint16]uint16{0: 900, 65535: 900, 43691: 900, 901: 900, 900: 0, 60: 0} {
		p := d.dial(fmt.Sprint("k", asked))
		ack := p.connect(func(c *packets.Connect) { c.KeepAlive = asked })
		var got uint16
		if ack.Properties.ServerKeepAlive != nil {
			got = *ack.Properties.ServerKeepAlive
		}
		if ack.ReasonCode != 0 || got != want {
			t.Errorf("keep-alive %d: the server says %d, want %d", asked, got, want)
		}
		p.alive()
	}
}

func TestPacketsOfAnySize(t *testing.T) {
	big := strings.Repeat("x", 300<<10)
	t.Run("stock", func(t *testing.T) {
		d, _ := stock(t, &permissive{}, nil)
		if code := d.connected("d1").publish(1, "x", big); code != 0 {
			t.Errorf("the engine refuses 300 KiB: %#x", code)
		}
	})
	d := newDoor(t, broker.Config{})
	p := d.dial("d1")
	if ack := p.connect(nil); ack.Properties.MaximumPacketSize == nil || *ack.Properties.MaximumPacketSize < wire.MaxPayload {
		t.Errorf("the CONNACK says nothing of the largest packet: %v", ack.Properties.MaximumPacketSize)
	}
	if code := p.publish(1, p.topic(wire.LeafEvent), big[:wire.MaxPayload]); code != 0 {
		t.Errorf("the largest payload: %#x", code)
	}
	// Five bytes say that 256 MiB follow; none of it is waited for.
	p.Write([]byte{0x32, 0xff, 0xff, 0xff, 0x7f})
	p.gone()
}

// TestPacketIDsOfBothDirections: the engine keeps what it has sent and what it has got in
// one map, so a SUBSCRIBE fails because of an unrelated delivery.
func TestPacketIDsOfBothDirections(t *testing.T) {
	t.Run("stock", func(t *testing.T) {
		d, s := stock(t, &permissive{}, nil)
		p := d.connected("d1")
		p.subscribe(7, "x")
		must(t, s.Publish("x", []byte("1"), false, 1))
		pub := p.delivery()
		if code := p.subscribe(pub.PacketID, "y"); code != 0x91 {
			t.Errorf("the engine answers %#x", code)
		}
	})
	d := newDoor(t, broker.Config{})
	d.backend.direct("d1", "one")
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafDirection))
	pub := p.delivery()
	if code := p.subscribe(pub.PacketID, p.topic(wire.LeafCmd)); code != 1 {
		t.Errorf("subscribe under the id of a delivery: %#x", code)
	}
	if code := p.publish(pub.PacketID, p.topic(wire.LeafEvent), "x"); code != 0 {
		t.Errorf("publish under the id of a delivery: %#x", code)
	}
	p.ack(pub)
	d.backend.direct("d1", "two")
	d.Push("d1")
	if pub := p.delivery(); string(pub.Payload) != "two" {
		t.Errorf("delivered %q", pub.Payload)
	}
}

func TestWhatDevicesHaveNoUseFor(t *testing.T) {
	one := uint16(1)
	for what, pk := range map[string]packets.Packet{
		"QoS 2":          &packets.Publish{PacketID: 1, QoS: 2, Topic: "fw/v1/acme/d1/event", Properties: &packets.Properties{}},
		"topic alias":    &packets.Publish{PacketID: 1, QoS: 1, Topic: "fw/v1/acme/d1/event", Properties: &packets.Properties{TopicAlias: &one}},
		"AUTH":           &packets.Auth{ReasonCode: 0x19, Properties: &packets.Properties{AuthMethod: "x"}},
		"second CONNECT": &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "d1", Properties: &packets.Properties{}},
		"PUBREL":         &packets.Pubrel{PacketID: 1, Properties: &packets.Properties{}},
		"many filters":   manyFilters(),
	} {
		t.Run(what, func(t *testing.T) {
			d := newDoor(t, broker.Config{})
			p := d.connected("d1")
			p.send(pk)
			if reason := p.gone(); reason < 0x80 {
				t.Errorf("ended with %#x", reason)
			}
			if got := d.backend.got(); len(got) != 0 {
				t.Errorf("has arrived: %q", got)
			}
		})
	}
}

func manyFilters() *packets.Subscribe {
	s := &packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}}
	for i := range 100 {
		s.Subscriptions = append(s.Subscriptions, packets.SubOptions{Topic: fmt.Sprint("x", i)})
	}
	return s
}

func TestOlderProtocolIsRefused(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.dial("d1")
	p.Write([]byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 2, 'd', '1'})
	buf := make([]byte, 4)
	if _, err := p.Read(buf); err != nil || buf[0] != 0x20 || buf[3] == 0 {
		t.Errorf("MQTT 3.1.1: %x, %v", buf, err)
	}
}

// FuzzSession throws bytes at an open connection. Whatever they are, the next device is
// served.
func FuzzSession(f *testing.F) {
	f.Add(malformedSubscribe)
	f.Add([]byte{0x82, 0x02, 0x00, 0x01})
	f.Add([]byte{0x30, 0x00})
	f.Add([]byte{0xe0, 0x00})
	d := newDoor(f, broker.Config{})
	quit := make(chan struct{})
	f.Cleanup(func() { close(quit) })
	go func() { // nobody else looks at who comes and goes
		for {
			select {
			case <-d.backend.changed:
			case <-quit:
				return
			}
		}
	}()
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.Serve(server, func(context.Context) (director.Identity, error) {
				return director.Identity{Tenant: "acme", Device: "d1"}, nil
			})
		}()
		go func() {
			buf := make([]byte, 4096)
			for {
				if _, err := client.Read(buf); err != nil {
					return
				}
			}
		}()
		c := &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "d1", KeepAlive: 60, Properties: &packets.Properties{}}
		c.WriteTo(client)
		client.SetWriteDeadline(time.Now().Add(time.Second))
		client.Write(b)
		client.Close()
		<-done
	})
}
