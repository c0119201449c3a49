package service_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// mqttClient is a real paho client of a device.
type mqttClient struct {
	*autopaho.ConnectionManager
	u          *unit
	directions chan *paho.Publish
	down       chan byte // reasons of DISCONNECT
}

func (u *unit) mqtt(scheme string) *mqttClient {
	u.s.t.Helper()
	path := "/"
	if scheme == "wss" {
		path = wire.PathMQTT
	}
	m := &mqttClient{u: u, directions: make(chan *paho.Publish, 100), down: make(chan byte, 10)}
	rm := uint16(8)
	topic := wire.Topic(u.resp.Tenant, u.resp.Device, wire.LeafDirection)
	tlsConfig := u.tls(wire.ALPN)
	if scheme == "wss" {
		tlsConfig = u.tls()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cm, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: scheme, Host: u.s.Addr().String(), Path: path}}, TlsCfg: tlsConfig, KeepAlive: 30,
		ConnectUsername: u.user(), ConnectPassword: []byte(u.pass), SessionExpiryInterval: 60, ReconnectBackoff: autopaho.NewConstantBackoff(20 * time.Millisecond), ConnectTimeout: 10 * time.Second,
		WebSocketCfg: &autopaho.WebSocketConfig{Dialer: func(_ *url.URL, t *tls.Config) *websocket.Dialer {
			return &websocket.Dialer{TLSClientConfig: t, Subprotocols: []string{wire.Subprotocol}}
		}},
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			c.Properties.ReceiveMaximum = &rm
			c.WillMessage = &paho.WillMessage{Topic: wire.Topic(u.resp.Tenant, u.resp.Device, wire.LeafPresence), Payload: []byte("{}"), QoS: 1, Retain: true}
			return c, nil
		},
		OnConnectionUp: func(cm *autopaho.ConnectionManager, _ *paho.Connack) {
			go cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}})
		},
		ClientConfig: paho.ClientConfig{ClientID: u.resp.Device,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
				m.directions <- p.Packet
				return true, nil
			}},
			OnServerDisconnect: func(d *paho.Disconnect) { m.down <- d.ReasonCode },
		},
	})
	must(u.s.t, err)
	m.ConnectionManager = cm
	u.s.t.Cleanup(func() { cancel(); <-cm.Done() })
	up, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	must(u.s.t, cm.AwaitConnection(up))
	return m
}

// next is the next direction, verified.
func (m *mqttClient) next() (version int64, update string, retained bool) {
	m.u.s.t.Helper()
	select {
	case p := <-m.directions:
		d := m.u.verified(p.Payload)
		return d.Version, d.Update, p.Retain
	case <-time.After(10 * time.Second):
		m.u.s.t.Fatal("no direction has come")
		return 0, "", false
	}
}

func (m *mqttClient) publish(leaf string, e wire.Event) byte {
	m.u.s.t.Helper()
	b, err := wire.Encode(e)
	must(m.u.s.t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	resp, err := m.Publish(ctx, &paho.Publish{QoS: 1, Topic: wire.Topic(m.u.resp.Tenant, m.u.resp.Device, leaf), Payload: b})
	if resp == nil {
		m.u.s.t.Fatal(err)
		return 0
	}
	return resp.ReasonCode
}

// TestMQTT takes one update through each way of MQTT.
func TestMQTT(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 10)
	for _, scheme := range []string{"mqtts", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			u := s.enrolled(token, scheme)
			m := u.mqtt(scheme)
			if v, update, retained := m.next(); v != 1 || update != "" || !retained {
				t.Errorf("first direction: version %d, update %q, retained %v", v, update, retained)
			}
			update := s.direct("acme", "1.1.0", u)
			if v, got, _ := m.next(); v != 2 || got != update {
				t.Errorf("second direction: version %d, update %q, want %q", v, got, update)
			}
			for seq, state := range []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying, wire.Committed} {
				if code := m.publish(wire.LeafEvent, event(update, int64(seq+1), state)); code != 0 {
					t.Errorf("event %s: %#x", state, code)
				}
			}
			var all api.Updates
			s.ask("GET", "/updates?device="+u.resp.Device, nil, &all)
			if len(all.Updates) != 1 || all.Updates[0].State != "committed" || all.Updates[0].Fetched != 1000 || all.Updates[0].From != "1.0.0" {
				t.Errorf("updates: %+v", all.Updates)
			}
			var d api.Device
			s.ask("GET", "/devices/"+u.resp.Device, nil, &d)
			if !d.Online || d.Direction != 2 || d.Seen == nil {
				t.Errorf("device: %+v", d)
			}
		})
	}
}

// TestRevokeEndsTheConnection: and the next one is refused, in words.
func TestRevokeEndsTheConnection(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	m := u.mqtt("mqtts")
	m.next()
	s.ask("POST", "/devices/"+u.resp.Device+"/revoke", nil, &api.Device{})
	select {
	case code := <-m.down:
		if code != 0x87 {
			t.Errorf("disconnected with %#x, want not authorized", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("a revoked device stays connected")
	}
	if code := u.connack(); code != 0x87 {
		t.Errorf("connecting again: %#x, want not authorized", code)
	}
}

// connack connects by ALPN and returns the reason of the CONNACK.
func (u *unit) connack() byte {
	u.s.t.Helper()
	c := u.raw()
	defer c.Close()
	pk := &packets.Connect{ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: u.resp.Device, KeepAlive: 30, Properties: &packets.Properties{}}
	_, err := pk.WriteTo(c)
	must(u.s.t, err)
	ack, err := packets.ReadPacket(c)
	must(u.s.t, err)
	return ack.Content.(*packets.Connack).ReasonCode
}

func (u *unit) raw() net.Conn {
	u.s.t.Helper()
	c, err := tls.Dial("tcp", u.s.Addr().String(), u.tls(wire.ALPN))
	must(u.s.t, err)
	must(u.s.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

func TestMQTTWithoutIdentity(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	if code := s.stranger().connack(); code != 0x87 {
		t.Errorf("without a certificate: %#x, want not authorized", code)
	}
	a, b := s.enrolled(token, "a"), s.enrolled(token, "b")
	a.resp.Device = b.resp.Device
	if code := a.connack(); code != 0x85 {
		t.Errorf("as another device: %#x, want client identifier not valid", code)
	}
	other := newSite(t)
	foreign := other.enrolled(other.tenant("acme", 1), "a")
	foreign.s = s
	c, err := tls.Dial("tcp", s.Addr().String(), foreign.tls(wire.ALPN))
	if err == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1)) // TLS 1.3 tells a client only now
		c.Close()
	}
	if err == nil {
		t.Error("a certificate of another service is accepted")
	}
}

func TestNoBroker(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.NoBroker = true })
	u := s.enrolled(s.tenant("acme", 1), "s1")
	if r := u.do("GET", wire.PathMQTT, nil); r.status != 404 {
		t.Errorf("WebSocket: %d", r.status)
	}
	if c, err := tls.Dial("tcp", s.Addr().String(), u.tls(wire.ALPN)); err == nil {
		c.Close()
		t.Error("ALPN mqtt is accepted")
	}
	update := s.direct("acme", "1.1.0", u)
	if r := u.do("GET", wire.PathDirection, nil); r.status != 200 || u.verified(r.body).Update != update {
		t.Errorf("polling: %d %s", r.status, r.body)
	}
}

func TestWebSocketForm(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	ws := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	for what, header := range map[string][]string{
		"no upgrade":        {"Sec-WebSocket-Protocol", "mqtt"},
		"no subprotocol":    ws,
		"other subprotocol": append(ws[:len(ws):len(ws)], "Sec-WebSocket-Protocol", "chat"),
		"from a browser":    append(ws[:len(ws):len(ws)], "Sec-WebSocket-Protocol", "mqtt", "Origin", "https://evil.example"),
	} {
		if r := u.do("GET", wire.PathMQTT, nil, header...); r.status/100 != 4 {
			t.Errorf("%s: %d", what, r.status)
		}
	}
	d := websocket.Dialer{TLSClientConfig: u.tls(), Subprotocols: []string{"mqtt"}}
	c, _, err := d.Dial("wss://"+s.Addr().String()+wire.PathMQTT, nil)
	must(t, err)
	defer c.Close()
	must(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, _, err := c.ReadMessage(); err == nil || isTimeout(err) {
		t.Errorf("a text message: %v", err)
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}

// TestDrain ends connections in words when the service ends.
func TestDrain(t *testing.T) {
	s := newSite(t)
	m := s.enrolled(s.tenant("acme", 1), "s1").mqtt("mqtts")
	m.next()
	must(t, s.stop())
	select {
	case code := <-m.down:
		if code != 0x8b {
			t.Errorf("disconnected with %#x, want server shutting down", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection was not ended")
	}
}
