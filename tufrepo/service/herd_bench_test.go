package service_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service"
)

// BenchmarkBrokerKilled kills the service, a process of its own with its ordinary limits, under
// 5,000 links of agents with their ordinary waits, and starts it again on the same address.
//
//	s-to-last      from the kill until each has an MQTT connection and its direction again
//	CONNECTs/s     the most that came within any one second
//	connects       how many TCP connections it took in all
func BenchmarkBrokerKilled(b *testing.B) {
	const n = 5000
	openFiles(b, 3*n+1000)
	s := newSite(b, func(c *service.Config) { c.Limits.AcceptRate, c.Limits.EnrollRate = 1e6, 1e6 })
	h := newHerd(b)
	token := s.tenant("acme", n)
	units := make([]*unit, n)
	var enrolling errgroup.Group
	enrolling.SetLimit(8)
	for i := range units {
		enrolling.Go(func() error { units[i] = s.enrolled(token, fmt.Sprint("s", i)); return nil })
	}
	must(b, enrolling.Wait())
	address, authority := s.Addr().String(), s.ServerCA()
	must(b, s.stop())
	p := s.process(serveOrder{Listen: address, Log: true})
	for _, u := range units {
		h.add(b, u, address, authority)
	}
	h.wait(b, n)
	b.ResetTimer()
	for range b.N {
		h.dials.Store(0)
		h.told.Store(0)
		began := time.Now()
		p.kill()
		p = s.process(serveOrder{Listen: address, Log: true})
		h.wait(b, n)
		back := time.Since(began)
		b.ReportMetric(back.Seconds(), "s-to-last")
		b.ReportMetric(float64(most(b, p.log)), "CONNECTs/s")
		b.ReportMetric(float64(h.dials.Load()), "connects")
		if back > time.Minute {
			b.Errorf("the last device was back after %v", back)
		}
	}
	b.StopTimer()
	p.kill()
}

// openFiles raises the limit of open files to n.
func openFiles(b *testing.B, n uint64) {
	b.Helper()
	var l syscall.Rlimit
	must(b, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l))
	if l.Cur >= n {
		return
	}
	l.Cur, l.Max = n, max(n, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		b.Fatalf("this takes %d open files: ulimit -n %d: %v", n, n, err)
	}
}

// most says how many lines of the log lie within one second at most.
func most(t testing.TB, file string) (most int) {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var times []int64
	for _, line := range strings.Fields(string(text)) {
		n, err := strconv.ParseInt(line, 10, 64)
		must(t, err)
		times = append(times, n)
	}
	slices.Sort(times)
	first := 0
	for i, at := range times {
		for at-times[first] >= int64(time.Second) {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// herd is many links of agents.
type herd struct {
	ctx         context.Context
	running     sync.WaitGroup
	dials, told atomic.Int64
}

// newHerd is a herd that goes with the test.
func newHerd(b *testing.B) *herd {
	ctx, cancel := context.WithCancel(context.Background())
	h := &herd{ctx: ctx}
	b.Cleanup(func() { cancel(); h.running.Wait() })
	return h
}

// member is the handler of one: it counts itself when it is connected by MQTT and has its
// direction, which come in either order.
type member struct {
	h                   *herd
	mu                  sync.Mutex
	connected, directed bool
}

func (m *member) Direction([]byte) { m.note(func() { m.directed = true }) }
func (m *member) Cmd(wire.Cmd)     {}
func (m *member) Connected(transport string) {
	m.note(func() {
		if m.connected = transport == wire.TransportMQTTS || transport == wire.TransportWSS; !m.connected {
			m.directed = false
		}
	})
}

func (m *member) note(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.connected && m.directed
	if change(); !before && m.connected && m.directed {
		m.h.told.Add(1)
	}
}

// add starts a device's link.
func (h *herd) add(b *testing.B, u *unit, address string, authority []byte) {
	b.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	box, err := outbox.Open(b.TempDir(), outbox.Options{})
	must(b, err)
	network := link.Network{Service: "https://" + address, Roots: roots, Proxy: "none", Dial: h.dial}
	l, err := link.New(link.Config{Network: network, Tenant: u.resp.Tenant, Device: u.resp.Device, Outbox: box,
		Certificate: func() (*tls.Certificate, error) { return u.cert, nil }, Timing: link.Timing{Stop: time.Millisecond}})
	must(b, err)
	h.running.Go(func() {
		l.Run(h.ctx, &member{h: h}) //nolint:errcheck // it ends with ctx
		l.HTTPClient().CloseIdleConnections()
	})
}

func (h *herd) dial(ctx context.Context, network, address string) (net.Conn, error) {
	h.dials.Add(1)
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// wait waits until n links have their direction.
func (h *herd) wait(b *testing.B, n int64) {
	b.Helper()
	for end := time.Now().Add(5 * time.Minute); h.told.Load() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%d of %d devices are there after five minutes", h.told.Load(), n)
		}
	}
}
