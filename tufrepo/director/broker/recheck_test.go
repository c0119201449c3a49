package broker_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

func TestRecheckEndsWhoWasWithdrawn(t *testing.T) {
	d := newDoor(t, broker.Config{})
	good, bad := d.connected("d1"), d.connected("d2")
	d.backend.refuse("d2", &director.Error{Code: wire.CodeRevoked, Message: "revoked"})
	if n := d.Recheck(context.Background(), false); n != 0 {
		t.Errorf("%d ended though nothing was said to be withdrawn", n)
	}
	if n := d.Recheck(context.Background(), true); n != 1 {
		t.Fatalf("%d connections ended, want 1", n)
	}
	if reason := bad.gone(); reason != 0x87 {
		t.Errorf("ended with %#x, want not authorized", reason)
	}
	good.subscribe(9, good.topic(wire.LeafDirection))
}

// A database that is gone is no reason to send the fleet away.
func TestRecheckWithoutDatabase(t *testing.T) {
	d := newDoor(t, broker.Config{})
	p := d.connected("d1")
	d.backend.refuse("d1", errors.New("no database"))
	if n := d.Recheck(context.Background(), true); n != 0 {
		t.Errorf("%d connections ended", n)
	}
	p.subscribe(9, p.topic(wire.LeafDirection))
}

func TestSwitchedOffDeviceFetchesAndReportsForAMoment(t *testing.T) {
	d := newDoor(t, broker.Config{})
	off := &director.Error{Code: wire.CodeOffline, Message: "off"}
	d.backend.refuse("d1", off)
	d.backend.direct("d1", "go offline")
	p := d.connected("d1")
	p.subscribe(1, p.topic(wire.LeafDirection))
	if got := p.delivery(); string(got.Payload) != "go offline" {
		t.Fatalf("direction %q", got.Payload)
	}
	if code := p.publish(1, p.topic(wire.LeafEvent), "e"); code != 0x97 {
		t.Errorf("an event: %#x, want later", code)
	}
	if code := p.publish(2, p.topic(wire.LeafReported), "r"); code != 0 {
		t.Errorf("a report: %#x", code)
	}
	if n := d.Recheck(context.Background(), false); n != 0 {
		t.Errorf("ended at the first look")
	}
	if n := d.Recheck(context.Background(), false); n != 1 {
		t.Errorf("not ended at the second look")
	}

	again := d.connected("d1")
	d.backend.refuse("d1", nil) // its report has said that it was switched on
	if code := again.publish(1, again.topic(wire.LeafReported), "on"); code != 0 {
		t.Fatalf("a report: %#x", code)
	}
	if code := again.publish(2, again.topic(wire.LeafEvent), "e"); code != 0 {
		t.Errorf("an event after it was switched on: %#x", code)
	}
}

func TestLoginInTheConnect(t *testing.T) {
	d := newDoor(t, broker.Config{})
	d.serve = func(c net.Conn, id director.Identity) error {
		return d.ServeLogin(c, func(user, password string) broker.Proof {
			return func(context.Context) (director.Identity, error) {
				switch password {
				case "right":
					return id, d.backend.proof(user)
				case "no database":
					return id, errors.New("gone")
				}
				return director.Identity{}, &director.Error{Code: wire.CodeUnauthorized, Message: "unknown"}
			}
		})
	}
	login := func(password string) func(*packets.Connect) {
		return func(c *packets.Connect) {
			c.UsernameFlag, c.Username, c.PasswordFlag, c.Password = true, "d1", true, []byte(password)
		}
	}
	for password, want := range map[string]byte{"wrong": 0x86, "no database": 0x88, "right": 0} {
		if ack := d.dial("d1").connect(login(password)); ack.ReasonCode != want {
			t.Errorf("%s: %#x, want %#x", password, ack.ReasonCode, want)
		}
	}
	if ack := d.dial("d1").connect(nil); ack.ReasonCode != 0x87 {
		t.Errorf("nothing: %#x", ack.ReasonCode)
	}
	other := d.dial("d1").connect(func(c *packets.Connect) { login("right")(c); c.ClientID = "d2" })
	if other.ReasonCode != 0x85 {
		t.Errorf("another client id: %#x", other.ReasonCode)
	}
	p := d.dial("d1")
	p.connect(login("right"))
	if code := p.publish(1, wire.Topic("acme", "d2", wire.LeafEvent), "e"); code == 0 {
		t.Error("it may publish for another device")
	}
}
