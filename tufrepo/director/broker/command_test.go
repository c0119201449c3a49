package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

// TestCommand: it reaches a device that listens, with an end of its own, one at a time, beside
// a direction that is under way; and nothing is kept for one that does not listen.
func TestCommand(t *testing.T) {
	d := newDoor(t, broker.Config{})
	away := func(what string) {
		t.Helper()
		if err := d.Command("d1", []byte("c"), time.Minute); !errors.Is(err, broker.ErrAway) {
			t.Errorf("%s: %v", what, err)
		}
	}
	away("not connected")
	d.backend.direct("d1", "direction")
	p := d.connected("d1")
	away("not subscribed")
	p.subscribe(1, p.topic(wire.LeafDirection))
	direction := p.delivery()
	p.subscribe(2, p.topic(wire.LeafCmd))
	p.quiet()
	must(t, d.Command("d1", []byte("one"), 90*time.Second))
	one := p.delivery()
	if one.Topic != p.topic(wire.LeafCmd) || string(one.Payload) != "one" || one.QoS != 1 || one.Retain || one.PacketID == direction.PacketID ||
		one.Properties.MessageExpiry == nil || *one.Properties.MessageExpiry != 90 {
		t.Errorf("the command: %v", one)
	}
	if err := d.Command("d1", []byte("two"), time.Minute); !errors.Is(err, broker.ErrBusy) {
		t.Errorf("before the first is acknowledged: %v", err)
	}
	second := make(chan error, 1)
	go func() { second <- d.Command("d1", []byte("two"), time.Minute) }()
	p.ack(one) // a device may have answered before
	p.ack(direction)
	must(t, <-second)
	two := p.delivery()
	p.alive() // both were heard
	if d.Stats().Acknowledged.Load() != 1 {
		t.Errorf("%d directions are acknowledged", d.Stats().Acknowledged.Load())
	}
	if string(two.Payload) != "two" || two.PacketID == one.PacketID {
		t.Errorf("the next one: %v", two)
	}
	p.send(&packets.Unsubscribe{PacketID: 3, Topics: []string{p.topic(wire.LeafCmd)}, Properties: &packets.Properties{}})
	p.alive()
	away("unsubscribed")
	again := d.connected("d1")
	again.subscribe(1, again.topic(wire.LeafCmd))
	again.quiet()
}

func TestCommandThatIsNotAcknowledged(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafCmd))
	must(t, d.Command("d1", []byte("c"), 0)) // a second is the least
	if reason := p.gone(); reason < 0x80 {
		t.Errorf("ended with %#x", reason)
	}
}
