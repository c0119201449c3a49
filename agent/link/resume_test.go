package link

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
