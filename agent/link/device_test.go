package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
)

// device is one end of the wire: a link, its outbox and what its handler got.
type device struct {
	*scene
	t      testing.TB
	cfg    Config
	link   *Link
	cancel context.CancelFunc
	done   chan struct{}

	directions []string
	cmds       []wire.Cmd
	connected  []string
}

// quick is for tests in real time.
var quick = Timing{Start: 5 * time.Millisecond, Attempt: 5 * time.Second, Answer: 5 * time.Second,
	BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond, FallbackPoll: 50 * time.Millisecond}

// config is a device of s, over pipes.
func config(t testing.TB, s *service, ca *authority) Config {
	cert := ca.device(t, "d1", newKey(t), someDay)
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Config{Network: Network{Service: "https://service.test", Roots: ca.pool(), Dial: s.dial, Proxy: "none"},
		Tenant: "acme", Device: "d1", Outbox: box, Timing: quick, Log: testLog(),
		Certificate: func() (*tls.Certificate, error) { return cert, nil }}
}

func testLog() *slog.Logger {
	if os.Getenv("LINK_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a link until the test ends or stop is called.
func start(t testing.TB, watched *scene, cfg Config) *device {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &device{scene: watched, t: t, cfg: cfg, link: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		if err := l.Run(ctx, d); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(d.stop)
	return d
}

func (d *device) stop() {
	d.cancel()
	<-d.done
}

func (d *device) Direction(raw []byte) {
	d.do(func() { d.directions = append(d.directions, string(raw)) })
}
func (d *device) Cmd(c wire.Cmd) { d.do(func() { d.cmds = append(d.cmds, c) }) }
func (d *device) Connected(transport string) {
	d.do(func() { d.connected = append(d.connected, transport) })
}

// over says whether the link works over transport now.
func (d *device) over(transport string) func() bool {
	return func() bool { return len(d.connected) > 0 && d.connected[len(d.connected)-1] == transport }
}

// happen appends n events to the outbox, named after what happened.
func (d *device) happen(what string, n int) {
	d.t.Helper()
	for i := range n {
		_, err := d.cfg.Outbox.Append(wire.Event{Time: time.Now(), Update: fmt.Sprint(what, i), State: wire.Failed,
			Product: "base", From: "1.0.0", To: "1.1.0"})
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// status is a report of a device in state.
func status(state wire.State) wire.Reported {
	return wire.Reported{Schema: wire.Schema, Time: time.Now(), BootID: "boot", Agent: "0.1.0", Product: "base", Hardware: "bu-1",
		Version: "1.0.0", Slot: "a", State: state}
}

// goroutines counts them, without those that only wait for their end to be noticed.
func goroutines() int {
	runtime.Gosched()
	return runtime.NumGoroutine()
}
