package link

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"
)

// A connection after the first takes up the TLS session, which spares both sides the certificates; requests that follow
// one another share a connection.
func TestHTTPConnections(t *testing.T) {
	ca := newAuthority(t, "ca")
	until := time.Now().Add(time.Hour)
	var resumed []bool
	var peers []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed, peers = append(resumed, r.TLS.DidResume), append(peers, r.RemoteAddr)
		if r.URL.Path == "/last" {
			w.Header().Set("Connection", "close")
		}
		_, _ = io.WriteString(w, "yes")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server(t, until)}, ClientCAs: ca.pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()
	cert := ca.device(t, "d1", newKey(t), until)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	hc, err := NewHTTPClient(Network{Service: "https://service.test", Roots: ca.pool(), Proxy: "none", Dial: dial}, func() (*tls.Certificate, error) { return cert, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer hc.CloseIdleConnections()
	for _, path := range []string{"/first", "/last", "/anew"} {
		resp, err := hc.Get("https://service.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if peers[0] != peers[1] || peers[1] == peers[2] {
		t.Errorf("requests came over %v, want two over one connection and the last over another", peers)
	}
	if resumed[0] || !resumed[2] {
		t.Errorf("sessions resumed: %v, want only the last", resumed)
	}
}

// What carries requests is gone with the last connection, and the next request makes it anew; a renewed certificate lets what is under way end.
func TestRoadsEnd(t *testing.T) {
	ca := newAuthority(t, "ca")
	until := time.Now().Add(time.Hour)
	hold := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/long" {
			<-hold
		}
		_, _ = io.WriteString(w, "yes")
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.server(t, until)}}
	server.StartTLS()
	defer server.Close()
	d, err := newDialer(Network{Service: "https://service.test", Roots: ca.pool(), Proxy: "none", Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &roads{dial: d}
	get := func(path string) *http.Response {
		resp, err := (&http.Client{Transport: r}).Get("https://service.test" + path)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	there := func() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.all) }
	read := func(resp *http.Response) {
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "yes" {
			t.Errorf("the answer is %q, %v", b, err)
		}
		resp.Body.Close()
	}
	long := get("/long")
	r.renew()
	read(get("/short"))
	if n := there(); n != 2 {
		t.Errorf("%d roads, want the one of the request under way and a new one", n)
	}
	close(hold)
	read(long)
	for deadline := time.Now().Add(10 * time.Second); there() > 0 && time.Now().Before(deadline); {
		r.CloseIdleConnections() // the first connection is idle soon after its answer was read
		runtime.Gosched()
	}
	if n := there(); n != 0 || r.now != nil {
		t.Errorf("%d roads are left of what is not used", n)
	}
	read(get("/short"))
	r.CloseIdleConnections()
}
