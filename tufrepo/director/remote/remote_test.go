package remote_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/remote/remotetest"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// tenantOf is what the backend of these tests knows of devices.
var tenantOf = map[string]string{"d1": "acme", "d2": "acme", "d3": "other"}

// backend is a director that keeps all in memory.
type backend struct {
	mu      sync.Mutex
	changed chan struct{}
	version map[string]int
	online  map[string]bool
	leaves  []string // "device leaf"
}

func newBackend() *backend {
	return &backend{changed: make(chan struct{}, 1), version: map[string]int{}, online: map[string]bool{}}
}

func (b *backend) do(f func()) {
	b.mu.Lock()
	f()
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *backend) Named(_ context.Context, tenant, device string) (director.Identity, error) {
	if tenantOf[device] != tenant {
		return director.Identity{}, errors.New("not known")
	}
	return director.Identity{Tenant: tenant, Device: device}, nil
}

func (b *backend) Message(_ context.Context, id director.Identity, leaf string, _ []byte) error {
	b.do(func() { b.leaves = append(b.leaves, id.Device+" "+leaf) })
	return nil
}

func (b *backend) Connected(_ context.Context, id director.Identity, online bool) error {
	b.do(func() { b.online[id.Device] = online })
	return nil
}

func (b *backend) Letter(_ context.Context, device string) (director.Identity, []byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version[device] == 0 {
		return director.Identity{}, nil, store.ErrNotFound
	}
	return director.Identity{Tenant: tenantOf[device], Device: device}, fmt.Appendf(nil, "direction %d of %s", b.version[device], device), nil
}

// wait waits until something is so.
func (b *backend) wait(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		b.mu.Lock()
		done := so()
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-b.changed:
		case <-late:
			t.Fatalf("still not so: %s", what)
		}
	}
}

// start runs a director's client until the test, or stop, ends it.
func start(t *testing.T, broker *remotetest.Broker, b *backend, name string) (r *remote.Client, stop func()) {
	t.Helper()
	r = remote.New(remote.Config{Broker: broker.URL, TLS: broker.TLS("director"), Client: name, Backend: b, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// device is a real link, whose service cannot be reached: only the broker can.
type device struct {
	got chan string // directions
}

func (d *device) Direction(raw []byte) { d.got <- string(raw) }
func (d *device) Cmd(wire.Cmd)         {}
func (d *device) Connected(string)     {}

func connect(t *testing.T, broker *remotetest.Broker, tenant, id string) *device {
	t.Helper()
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config := broker.TLS(id)
	l, err := link.New(link.Config{
		Network: link.Network{Service: "https://127.0.0.1:1", Roots: broker.CA, Proxy: "none"}, Tenant: tenant, Device: id,
		Certificate: func() (*tls.Certificate, error) { return &config.Certificates[0], nil },
		Broker:      broker.URL.String(), Outbox: box,
		Timing: link.Timing{Start: 10 * time.Millisecond, BackoffMin: 50 * time.Millisecond, BackoffMax: 200 * time.Millisecond, Poll: time.Hour, FallbackPoll: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &device{got: make(chan string, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return d
}

// gets waits for a direction; others may come before it.
func (d *device) gets(t *testing.T, want string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case got := <-d.got:
			if got == want {
				return
			}
		case <-late:
			t.Fatalf("%q did not come", want)
		}
	}
}

// A device gets its direction when it comes, when it changes, and after the broker was killed, which remembers nothing.
func TestDirections(t *testing.T) {
	broker, b := remotetest.Start(t), newBackend()
	b.version["d1"] = 1
	r, _ := start(t, broker, b, "a")
	d := connect(t, broker, "acme", "d1")
	d.gets(t, "direction 1 of d1")
	b.wait(t, "d1 is online", func() bool { return b.online["d1"] })
	b.do(func() { b.version["d1"] = 2 })
	r.Push("d1")
	d.gets(t, "direction 2 of d1")
	broker.Kill()
	b.do(func() { b.version["d1"], b.online["d1"] = 3, false })
	r.Push("d1")
	broker.Again()
	d.gets(t, "direction 3 of d1")
	b.wait(t, "d1 is online again", func() bool { return b.online["d1"] })
}

// What devices say is shared among directors, and none of it is lost when one ends.
func TestTwoDirectors(t *testing.T) {
	broker, b := remotetest.Start(t), newBackend()
	for device := range tenantOf {
		b.version[device] = 1
	}
	first, stop := start(t, broker, b, "a")
	second, _ := start(t, broker, b, "b")
	one, two := connect(t, broker, "acme", "d1"), connect(t, broker, "acme", "d2")
	one.gets(t, "direction 1 of d1")
	two.gets(t, "direction 1 of d2")
	b.wait(t, "both are online", func() bool { return b.online["d1"] && b.online["d2"] })
	stop()
	b.do(func() { b.version["d1"] = 2 })
	second.Push("d1")
	one.gets(t, "direction 2 of d1")
	three := connect(t, broker, "other", "d3")
	three.gets(t, "direction 1 of d3")
	if n := first.Stats().Received.Load() + second.Stats().Received.Load(); n > 6 {
		t.Errorf("%d messages came, of three devices", n)
	}
}

// The broker's access list keeps devices to their own topics; what passes it under a wrong tenant is refused here.
func TestForeignTopics(t *testing.T) {
	broker, b := remotetest.Start(t), newBackend()
	b.version["d1"], b.version["d2"] = 1, 1
	r, _ := start(t, broker, b, "a")
	foreign := connect(t, broker, "other", "d1") // its certificate says d1, and d1 is acme's
	own := connect(t, broker, "acme", "d2")
	own.gets(t, "direction 1 of d2")
	for deadline := time.Now().Add(30 * time.Second); r.Stats().Refused.Load() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no message was refused")
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.online["d1"] || len(foreign.got) > 0 {
		t.Error("a device was heard under the name of another tenant")
	}
}

func TestParse(t *testing.T) {
	for address, want := range map[string]string{
		"mqtts://broker": "mqtts://broker:8883", "mqtts://broker:99": "mqtts://broker:99", "mqtt://127.0.0.1": "mqtt://127.0.0.1:1883",
		"https://broker": "", "broker:8883": "", "mqtts://": "", "mqtts://a/b": "", "mqtts://u@a": "", "": "",
	} {
		u, err := remote.Parse(address)
		if want == "" && err == nil || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%q: %v, %v", address, u, err)
		}
	}
}
