package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/fairlead/fairlead/agent/wire"
)

// hostile is a broker that holds the service's certificate and means ill: it answers
// CONNECT with what it is given, and then reads until the device goes.
func hostile(t *testing.T, ca *authority, answer []byte) func(context.Context, string, string) (net.Conn, error) {
	cert := ca.server(t, someDay)
	return func(context.Context, string, string) (net.Conn, error) {
		there, here := pipe()
		go func() {
			conn := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{wire.ALPN}})
			defer conn.Close()
			if _, err := packets.ReadPacket(conn); err != nil {
				return
			}
			if _, err := conn.Write(answer); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
		}()
		return here, nil
	}
}

var connack = []byte{0x20, 3, 0, 0, 0}

func then(b ...byte) []byte { return append(bytes.Clone(connack), b...) }

// Whatever the broker sends, the device stays alive and small, and tries again.
func TestHostileBroker(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.do(func() { s.noHTTP = true })
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"256 MB":              {then(0x30, 0xff, 0xff, 0xff, 0x7f), "more than 131072 bytes"},
		"256 MB at once":      {[]byte{0x20, 0xff, 0xff, 0xff, 0x7f}, "more than 131072 bytes"},
		"endless length":      {append([]byte{0x20}, bytes.Repeat([]byte{0x80}, 1000)...), "malformed"},
		"asks to authentify":  {[]byte{0xf0, 2, 0x18, 0}, "type 0xf0"},
		"extended auth":       {[]byte{0x20, 9, 0, 0, 6, 0x15, 0, 3, 'a', 'b', 'c'}, ""},
		"QoS 2":               {then(0x34, 2, 0, 0), "type 0x34"},
		"QoS 3":               {then(0x36, 2, 0, 0), "type 0x36"},
		"PUBREL":              {then(0x62, 2, 0, 1), "type 0x62"},
		"a second CONNACK":    {then(connack...), ""},
		"nonsense properties": {[]byte{0x20, 5, 0, 0, 2, 0x7f, 0x7f}, ""},
		"not MQTT":            {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ""},
		"hangs up":            {[]byte{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			cfg := config(t, s, ca)
			dial := hostile(t, ca, c.answer)
			if len(c.answer) == 0 {
				dial = hangUp(t, ca)
			}
			cfg.Transports = transports[wire.TransportMQTTS]
			cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				s.do(func() { tries++ })
				return dial(ctx, network, address)
			}
			cfg.Timing.Answer = 50e6
			var log logged
			cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			before := heap()
			d := start(t, s.scene, cfg)
			d.happen("kept", 1)
			d.until(t, "more attempts", func() bool { return tries > 5 })
			d.until(t, c.want, func() bool { return strings.Contains(log.String(), c.want) })
			d.stop()
			if grown := heap() - before; grown > 16<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
			if cfg.Outbox.Len() != 1 {
				t.Error("the event is gone")
			}
		})
	}
}

// logged is a log that a test reads while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// heap is what was ever allocated.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

func hangUp(t *testing.T, ca *authority) func(context.Context, string, string) (net.Conn, error) {
	cert := ca.server(t, someDay)
	return func(context.Context, string, string) (net.Conn, error) {
		there, here := pipe()
		go func() {
			conn := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{wire.ALPN}})
			_ = conn.Handshake()
			conn.Close()
		}()
		return here, nil
	}
}

func TestGuardCutsNothing(t *testing.T) {
	publish := &packets.Publish{Topic: "t", QoS: 1, PacketID: 1, Properties: &packets.Properties{}, Payload: make([]byte, 60<<10)}
	var whole bytes.Buffer
	for range 3 {
		if _, err := publish.WriteTo(&whole); err != nil {
			t.Fatal(err)
		}
		whole.Write([]byte{0xd0, 0}) // PINGRESP
	}
	for _, size := range []int{1, 2, 3, 7, 4096, whole.Len()} {
		var s scanner
		for b := whole.Bytes(); len(b) > 0; b = b[min(size, len(b)):] {
			if err := s.scan(b[:min(size, len(b))]); err != nil {
				t.Fatalf("in pieces of %d: %v", size, err)
			}
		}
		if s.place != 0 {
			t.Errorf("in pieces of %d: it is lost", size)
		}
	}
}

// The guard sends each packet in one piece: one TLS record, one WebSocket message.
func TestGuardSendsWholePackets(t *testing.T) {
	here, there := pipe()
	c := &counter{Conn: here}
	g := newGuard(c, 1e9)
	publish := &packets.Publish{Topic: "t", QoS: 1, PacketID: 1, Properties: &packets.Properties{}, Payload: []byte("payload")}
	if _, err := publish.WriteTo(g); err != nil {
		t.Fatal(err)
	}
	got, err := packets.ReadPacket(there)
	if err != nil || string(got.Content.(*packets.Publish).Payload) != "payload" || c.writes != 1 {
		t.Errorf("%d writes, %v, %v", c.writes, got, err)
	}
	here.Close()
	for range 2 {
		_, err = publish.WriteTo(g)
	}
	if err == nil {
		t.Error("a packet was sent over a closed connection")
	}
}

type counter struct {
	net.Conn
	writes int
}

func (c *counter) Write(p []byte) (int, error) { c.writes++; return c.Conn.Write(p) }

// The guard lets no packet through that paho would need much memory for, and paho stands
// what it lets through.
func FuzzGuard(f *testing.F) {
	f.Add(then(0x30, 5, 0, 1, 't', 0, 'x'))
	f.Add([]byte{0x20, 9, 0, 0, 6, 0x15, 0, 3, 'a', 'b', 'c'})
	f.Add([]byte{0x20, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte{0xe0, 2, 0x8e, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		here, there := pipe()
		go func() { _, _ = there.Write(b); there.Close() }()
		g := newGuard(here, 1e9)
		defer g.Close()
		for {
			p, err := packets.ReadPacket(g)
			if err != nil {
				return
			}
			if checkType(p.Type<<4|p.Flags) != nil {
				t.Fatalf("type %d with flags %d came through", p.Type, p.Flags)
			}
		}
	})
}
