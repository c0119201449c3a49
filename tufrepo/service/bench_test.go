package service_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// BenchmarkDirectFanout directs a release to 5,000 devices that are connected by MQTT over
// TLS, and waits until each has it.
func BenchmarkDirectFanout(b *testing.B) {
	const n = 5000
	s := newSite(b, func(c *service.Config) { c.Limits.AcceptRate, c.Limits.EnrollRate = 1e6, 1e6 })
	token := s.tenant("acme", n)
	arrived := make(chan struct{}, n)
	for i := range n {
		u := s.enrolled(token, fmt.Sprint("s", i))
		go u.listen(u.subscribed(), arrived)
	}
	all := func() {
		late := time.After(time.Minute)
		for range n {
			select {
			case <-arrived:
			case <-late:
				b.Fatal("not every device was reached within a minute")
			}
		}
	}
	all() // their first direction
	b.ResetTimer()
	for range b.N {
		s.ask("POST", "/directions", api.Order{Tenant: "acme", Product: repotest.Product, Version: "1.1.0", All: true}, &api.Outcomes{})
		all()
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "devices/s")
}

// subscribed is a connection that is subscribed to the device's direction.
func (u *unit) subscribed() net.Conn {
	u.s.t.Helper()
	c := u.raw()
	u.s.t.Cleanup(func() { c.Close() })
	must(u.s.t, c.SetDeadline(time.Time{}))
	for _, pk := range []packets.Packet{
		&packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: u.resp.Device, KeepAlive: 600, Properties: &packets.Properties{}},
		&packets.Subscribe{PacketID: 1, Properties: &packets.Properties{},
			Subscriptions: []packets.SubOptions{{Topic: wire.Topic(u.resp.Tenant, u.resp.Device, wire.LeafDirection), QoS: 1}}},
	} {
		_, err := pk.WriteTo(c)
		must(u.s.t, err)
	}
	return c
}

// listen acknowledges and counts what arrives until the connection ends.
func (u *unit) listen(c net.Conn, arrived chan<- struct{}) {
	for {
		pk, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		if p, ok := pk.Content.(*packets.Publish); ok {
			(&packets.Puback{PacketID: p.PacketID, Properties: &packets.Properties{}}).WriteTo(c)
			arrived <- struct{}{}
		}
	}
}
