package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

func TestPersistThenAcknowledge(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.connected("d1")
	for i, c := range []struct {
		fail error
		want byte
	}{
		{nil, 0},
		{errors.New("disk full"), 0x97},
		{&director.Error{Code: wire.CodeBusy}, 0x97},
		{&director.Error{Code: wire.CodeBadRequest}, 0x99},
		{nil, 0},
	} {
		d.backend.mu.Lock()
		d.backend.fail = c.fail
		d.backend.mu.Unlock()
		if code := p.publish(uint16(i+1), p.topic(wire.LeafEvent), "e"); code != c.want {
			t.Errorf("backend says %v: %#x, want %#x", c.fail, code, c.want)
		}
	}
	if got := d.backend.got(); len(got) != 2 || got[0] != "d1 event e" {
		t.Errorf("stored %q", got)
	}
	// QoS 0 has no answer, whatever becomes of it.
	d.backend.mu.Lock()
	d.backend.fail = errors.New("disk full")
	d.backend.mu.Unlock()
	p.send(&packets.Publish{Topic: p.topic(wire.LeafProgress), Payload: []byte("x"), Properties: &packets.Properties{}})
	p.alive()
}

func TestDeliveriesAreTheNewest(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafDirection)) // nothing is there yet
	d.backend.direct("d1", "1")
	d.Push("d1")
	first := p.delivery()
	if string(first.Payload) != "1" {
		t.Errorf("delivered %v", first)
	}
	for i := 2; i <= 50; i++ {
		d.backend.direct("d1", fmt.Sprint(i))
		d.Push("d1")
	}
	p.quiet() // nothing is sent while the first is not acknowledged
	p.ack(first)
	next := p.delivery()
	if string(next.Payload) != "50" || next.Retain {
		t.Errorf("after the ack comes %v, want the newest, live", next)
	}
	p.ack(next)
	d.Push("d1") // nothing new
	if code := p.subscribe(2, p.topic(wire.LeafDirection), func(o *packets.SubOptions) { o.RetainAsPublished = true }); code != 1 {
		t.Errorf("subscribe again: %#x", code)
	}
	again := p.delivery() // a subscription gets what is retained, known or not
	if string(again.Payload) != "50" || !again.Retain {
		t.Errorf("subscribing again delivers %v", again)
	}
	p.ack(again)
	d.backend.direct("d1", "51")
	d.Push("d1")
	if pub := p.delivery(); !pub.Retain {
		t.Errorf("retain as published: %v", pub)
	}
	if n := d.Stats().Delivered.Load(); n != 4 {
		t.Errorf("%d deliveries, want 4", n)
	}
}

func TestRetainHandling(t *testing.T) {
	d := newDoor(t, broker.Config{})
	d.backend.direct("d1", "1")
	p := d.connected("d1")
	handling := func(h byte) func(*packets.SubOptions) { return func(o *packets.SubOptions) { o.RetainHandling = h } }
	p.subscribe(1, p.topic(wire.LeafDirection), handling(2))
	p.quiet()
	p.subscribe(2, p.topic(wire.LeafDirection), handling(1)) // known already
	p.quiet()
	p.subscribe(3, p.topic(wire.LeafDirection), handling(0))
	p.delivery()
	if n := d.Stats().Delivered.Load(); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

func TestUnsubscribe(t *testing.T) {
	d := newDoor(t, broker.Config{})
	d.backend.direct("d1", "1")
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafDirection))
	p.ack(p.delivery())
	p.send(&packets.Unsubscribe{PacketID: 2, Topics: []string{p.topic(wire.LeafDirection)}, Properties: &packets.Properties{}})
	if ack, ok := p.recv().Content.(*packets.Unsuback); !ok || ack.Reasons[0] != 0 {
		t.Fatalf("unsubscribe: %v", ack)
	}
	d.backend.direct("d1", "2")
	d.Push("d1")
	p.quiet()
	if n := d.Stats().Delivered.Load(); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
}

func TestDeviceThatDoesNotAcknowledge(t *testing.T) {
	d := newDoor(t, broker.Config{AckTimeout: 50 * time.Millisecond})
	d.backend.direct("d1", "1")
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafDirection))
	if reason := p.gone(); reason < 0x80 {
		t.Errorf("ended with %#x", reason)
	}
}

func TestPresenceAndTakeover(t *testing.T) {
	d := newDoor(t, broker.Config{})
	first := d.connected("d1")
	<-d.backend.changed
	second := d.connected("d1")
	<-d.backend.changed
	if reason := first.gone(); reason != 0x8e {
		t.Errorf("the first ended with %#x, want session taken over", reason)
	}
	<-first.end
	d.backend.mu.Lock()
	if !d.backend.online["d1"] {
		t.Error("the end of the first connection has put the device offline")
	}
	d.backend.mu.Unlock()
	second.send(&packets.Disconnect{Properties: &packets.Properties{}})
	<-second.end
	<-d.backend.changed
	if d.backend.online["d1"] || d.Connections() != 0 || d.Stats().Takeovers.Load() != 1 {
		t.Errorf("online %v, %d connections, %d takeovers", d.backend.online, d.Connections(), d.Stats().Takeovers.Load())
	}
}

func TestKick(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p, other := d.connected("d1"), d.connected("d2")
	d.Kick("d1")
	d.Kick("nobody")
	if reason := p.gone(); reason != 0x87 {
		t.Errorf("ended with %#x, want not authorized", reason)
	}
	other.alive()
}

func TestDrain(t *testing.T) {
	d := newDoor(t, broker.Config{})
	var peers []*peer
	for i := range 5 {
		peers = append(peers, d.connected(fmt.Sprint("d", i)))
	}
	silent := d.dial("d9")
	d.Drain(context.Background(), 50*time.Millisecond)
	for _, p := range peers {
		if reason := p.gone(); reason != 0x8b {
			t.Errorf("ended with %#x, want server shutting down", reason)
		}
	}
	silent.gone()
	late := d.dial("d1")
	if err := <-late.end; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("a late connection: %v", err)
	}
}

func TestMaxClients(t *testing.T) {
	d := newDoor(t, broker.Config{MaxClients: 1})
	d.connected("d1").alive()
	p := d.dial("d2")
	if ack := p.connect(nil); ack.ReasonCode != 0x89 {
		t.Errorf("one too many: %#x, want server busy", ack.ReasonCode)
	}
}
