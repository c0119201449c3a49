package network_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/simulator/network"
)

var body = bytes.Repeat([]byte("fairlead"), 40_000) // 320,000 bytes

func server(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	t.Cleanup(s.Close)
	return s
}

// get fetches body over a line and tells how long that took.
func get(t *testing.T, s *httptest.Server, l *network.Line, proxy *network.Proxy) (time.Duration, error) {
	t.Helper()
	tr := s.Client().Transport.(*http.Transport).Clone()
	tr.DialContext = l.Dial
	tr.TLSClientConfig.NextProtos = []string{"http/1.1"}
	if proxy != nil {
		u, err := url.Parse(proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		tr.Proxy = http.ProxyURL(u)
	}
	defer tr.CloseIdleConnections()
	began := time.Now()
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get(s.URL)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(got, body) {
		t.Error("other bytes came out than went in, and TLS did not see it")
	}
	return time.Since(began), err
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class network.Class
		least time.Duration
		fails string
	}{
		"plain":   {network.Class{}, 0, ""},
		"rate":    {network.Class{Rate: 640_000}, 400 * time.Millisecond, ""},
		"latency": {network.Class{Latency: 100 * time.Millisecond}, 300 * time.Millisecond, ""}, // TCP, TLS, the question
		"portal":  {network.Class{Portal: true}, 0, "HTTP response to HTTPS client"},
		"corrupt": {network.Class{Corrupt: 100_000}, 0, "bad record MAC"},
		"offline": {network.Class{Offline: time.Hour - time.Nanosecond, Every: time.Hour}, 0, "line is down"},
		"lost":    {network.Class{Loss: 0.5, Latency: time.Millisecond}, 0, "?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n network.Counters
			took, err := get(t, server(t), network.New(c.class, 3, &n), nil)
			switch {
			case c.fails == "?":
			case c.fails == "" && err != nil:
				t.Fatal(err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("want %q, got %v", c.fails, err)
			case took < c.least:
				t.Errorf("it took %v, less than %v", took, c.least)
			}
			for late := time.Now().Add(5 * time.Second); n.Open.Load() != 0; time.Sleep(time.Millisecond) {
				if time.Now().After(late) {
					t.Fatalf("%d connections are still counted", n.Open.Load())
				}
			}
		})
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	p, err := network.StartProxy(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n network.Counters
	if _, err := get(t, server(t), network.New(network.Class{}, 1, &n), p); err != nil {
		t.Error(err)
	}
	if n.Received.Load() < int64(len(body)) || n.HTTP.Load() != 1 {
		t.Errorf("received %d bytes over %d HTTPS connections", n.Received.Load(), n.HTTP.Load())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestCutIsNoticed: a connection that waits for an answer ends when the power goes, and none is made until it is back.
func TestCutIsNoticed(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	for name, way := range map[string]struct{ cut, restore func(*network.Line) }{
		"power": {(*network.Line).Cut, (*network.Line).Restore},
		"cable": {func(l *network.Line) { l.Pull(true) }, func(l *network.Line) { l.Pull(false) }},
		"web":   {func(l *network.Line) { l.BlockWeb(true) }, func(l *network.Line) { l.BlockWeb(false) }},
	} {
		l := network.New(network.Class{}, 1, &network.Counters{})
		ended := make(chan error, 1)
		go func() { _, err := get(t, s, l, nil); ended <- err }()
		<-asked
		way.cut(l)
		if err := <-ended; err == nil {
			t.Errorf("%s: an answer came over a line that is gone", name)
		}
		if _, err := get(t, s, l, nil); err == nil {
			t.Errorf("%s: a connection was made over a line that is gone", name)
		}
		way.restore(l)
		if _, err := get(t, server(t), l, nil); err != nil {
			t.Errorf("%s: back again: %v", name, err)
		}
	}
}

func TestClassCheck(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]network.Class{
		"rate": {Rate: 10}, "latency": {Latency: time.Minute}, "loss": {Loss: 0.9}, "offline": {Offline: 2, Every: 2}, "corrupt": {Corrupt: -1},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (network.Class{Rate: 1 << 20, Loss: 0.01}).Check(); err != nil {
		t.Error(err)
	}
}

// TestFrom: each line has the address that it is given.
func TestFrom(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.RemoteAddr
		w.Write(body)
	}))
	t.Cleanup(s.Close)
	l := network.New(network.Class{}, 1, &network.Counters{})
	l.From(net.IPv4(127, 1, 2, 3))
	if _, err := get(t, s, l, nil); err != nil {
		t.Fatal(err)
	}
	if at := <-seen; !strings.HasPrefix(at, "127.1.2.3:") {
		t.Errorf("it comes from %s", at)
	}
}
