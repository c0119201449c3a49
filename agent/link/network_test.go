package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// proxy is a small HTTP proxy on a real port: CONNECT only, Basic authentication.
type proxy struct {
	*scene
	address, target string
	auth            string // wanted in Proxy-Authorization, or ""
	answer          string // instead of a tunnel, or ""
	asked           []string
}

func newProxy(t *testing.T, target string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{scene: newScene(), address: ln.Addr().String(), target: target}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	answer := p.answer
	p.do(func() { p.asked = append(p.asked, req.Method+" "+req.Host) })
	if p.auth != "" && req.Header.Get("Proxy-Authorization") != p.auth {
		answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
	}
	if answer != "" {
		_, _ = io.WriteString(conn, answer)
		return
	}
	there, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer there.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(there, conn); there.Close() }()
	_, _ = io.Copy(conn, there)
}

func TestThroughAProxy(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.direct(hello)
	p := newProxy(t, s.listen())
	p.auth = "Basic dXNlcjpzM2NyZXQ=" // user:s3cret
	for transport, only := range transports {
		for _, from := range []string{"configuration", "environment"} {
			cfg := config(t, s, ca)
			cfg.Transports, cfg.Dial, cfg.Proxy = only, nil, "http://user:s3cret@"+p.address
			if from == "environment" {
				t.Setenv("HTTPS_PROXY", cfg.Proxy)
				cfg.Proxy = ""
			}
			d := start(t, s.scene, cfg)
			d.until(t, transport+" by "+from, d.over(transport))
			d.until(t, "the direction", func() bool { return slices.Contains(d.directions, hello) })
			d.stop()
		}
	}
	for _, asked := range p.asked {
		if asked != "CONNECT service.test:443" {
			t.Errorf("the proxy was asked for %s", asked)
		}
	}
	if len(p.asked) < 6 {
		t.Errorf("the proxy was asked %d times", len(p.asked))
	}
}

func TestProxiesThatRefuse(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	for want, answer := range map[string]string{
		"wants a user and password":  "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\r\n",
		"refused a tunnel":           "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden",
		"302 Found":                  "HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\n\r\n",
		"its answer to CONNECT":      "SSH-2.0-OpenSSH_9\r\n",
		"not the service's":          "HTTP/1.1 200 OK\r\n\r\nhello",
		"answer to CONNECT: unexpec": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeader),
	} {
		p := newProxy(t, "")
		p.answer = answer
		cfg := config(t, s, ca)
		cfg.Dial, cfg.Proxy = nil, "http://user:s3cret@"+p.address
		l, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Direction(t.Context())
		if err == nil || class(err) != ClassProxy || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v", want, err)
		}
	}
}

func TestProxySettings(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.test:3128")
	t.Setenv("NO_PROXY", "near.test")
	for setting, want := range map[string]string{"": "http://proxy.test:3128", "none": "<nil>", "http://own.test": "http://own.test"} {
		d, err := newDialer(Network{Service: "https://service.test", Proxy: setting}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.proxy(d.service)
		if fmt.Sprint(got) != want || err != nil {
			t.Errorf("%q: got %v, %v", setting, got, err)
		}
	}
	d, err := newDialer(Network{Service: "https://near.test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := d.proxy(d.service); got != nil {
		t.Errorf("NO_PROXY was not heeded: %v", got)
	}
	t.Setenv("HTTPS_PROXY", "socks5://u:s3cret@proxy.test")
	if d, err = newDialer(Network{Service: "https://service.test"}, nil); err != nil {
		t.Fatal(err)
	}
	_, err = d.dialTLS(t.Context(), wire.ALPN)
	if err == nil || class(err) != ClassProxy || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

// A proxy that says nothing does not hold the link for ever.
func TestMuteProxy(t *testing.T) {
	there, here := net.Pipe()
	defer there.Close()
	d, err := newDialer(Network{Service: "https://service.test", Proxy: "http://proxy.test",
		Dial: func(context.Context, string, string) (net.Conn, error) { return here, nil }}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = http.ReadRequest(bufio.NewReader(there))
		cancel()
	}()
	if _, err := d.dial(ctx, "tcp", "service.test:443"); err == nil {
		t.Error("a mute proxy made a connection")
	}
}

// errorOf asks once for the direction.
func errorOf(t *testing.T, cfg Config) error {
	t.Helper()
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.http.CloseIdleConnections()
	_, err = l.Direction(t.Context())
	return err
}

func TestCaptivePortal(t *testing.T) {
	ca := newAuthority(t, "ca")
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.test/", http.StatusFound)
		},
		"page":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>Welcome, please pay") },
		"empty": func(w http.ResponseWriter, _ *http.Request) {},
		"511":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(511) },
	} {
		s := newService(t, ca)
		s.answer, s.noMQTT, s.noWebSocket = answer, true, true
		cfg := config(t, s, ca)
		err := errorOf(t, cfg)
		if class(err) != ClassCaptive || !strings.Contains(err.Error(), "captive portal") {
			t.Errorf("%s: %s: %v", name, class(err), err)
		}
		d := start(t, s.scene, cfg)
		d.happen("kept", 1)
		d.until(t, "polls and posts", func() bool { return len(s.askedAt) > 2 && len(s.posts) > 0 })
		d.stop()
		if len(d.directions) != 0 || len(without(d.connected, "")) != 0 || cfg.Outbox.Len() != 1 {
			t.Errorf("%s: directions %q, connected %q, %d events kept", name, d.directions, d.connected, cfg.Outbox.Len())
		}
	}
}

func TestWrongServer(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	for name, c := range map[string]struct {
		change func(*service, *Config)
		class  string
		hint   string
	}{
		"other CA": {func(s *service, _ *Config) { s.tls.Certificates = []tls.Certificate{other.server(t, someDay)} },
			ClassServer, "captive portal or TLS inspection"},
		"other name": {func(_ *service, c *Config) { c.Service = "https://else.test" }, ClassServer, "else.test"},
		"expired": {func(s *service, _ *Config) { s.tls.Certificates = []tls.Certificate{ca.server(t, time.Unix(1e9, 0))} },
			ClassServer, "check the clock"},
		"clock in 1970": {func(_ *service, c *Config) { c.Now = func() time.Time { return time.Unix(0, 0) } },
			ClassServer, "check the clock"},
		"nobody": {func(_ *service, c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
			}
		}, ClassUnavailable, "closed"},
	} {
		s := newService(t, ca)
		cfg := config(t, s, ca)
		c.change(s, &cfg)
		err := errorOf(t, cfg)
		if class(err) != c.class || !strings.Contains(fmt.Sprint(err), c.hint) {
			t.Errorf("%s: %s: %v", name, class(err), err)
		}
		d := start(t, s.scene, cfg)
		d.until(t, name, func() bool { return strings.Contains(d.link.Status().LastError, c.hint) })
		d.stop()
		if len(d.connected) != 0 || len(s.connects) != 0 {
			t.Errorf("%s: connected %v", name, d.connected)
		}
	}
}

// A certificate that the service no longer takes is left alone; a renewed one is used at
// the next handshake.
func TestExpiredIdentityAndItsRenewal(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.tls.ClientAuth = tls.RequireAndVerifyClientCert
	key := newKey(t)
	expired, good := ca.device(t, "d1", key, time.Unix(1e9, 0)), ca.device(t, "d1", key, someDay)
	current := expired
	cfg := config(t, s, ca)
	cfg.Certificate = func() (*tls.Certificate, error) {
		return look(s.scene, func() *tls.Certificate { return current }), nil
	}
	cfg.Timing.Hold = 100 * time.Millisecond
	if err := errorOf(t, cfg); class(err) != ClassIdentity || !strings.Contains(err.Error(), "enrol it anew") {
		t.Errorf("%s: %v", class(err), err)
	}
	d := start(t, s.scene, cfg)
	d.until(t, "it to be refused", func() bool { return slices.Contains(d.link.Status().Trouble, wire.TroubleRefused) })
	s.do(func() { current = good })
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	d.until(t, "no trouble", func() bool { return len(d.link.Status().Trouble) == 0 })
}

func TestNoCertificateNoConnection(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	cfg := config(t, s, ca)
	cfg.Certificate = func() (*tls.Certificate, error) { return nil, fmt.Errorf("the key file is gone") }
	if err := errorOf(t, cfg); err == nil || !strings.Contains(err.Error(), "the key file is gone") {
		t.Errorf("got %v", err)
	}
}

func TestAnswersOfTheAPI(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	big := strings.Repeat(" ", wire.MaxDirection)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		class  string
	}{
		"401":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 401, wire.CodeUnauthorized) }, ClassIdentity},
		"revoked":  {func(w http.ResponseWriter, _ *http.Request) { fail(w, 403, wire.CodeRevoked) }, ClassIdentity},
		"400":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 400, wire.CodeBadRequest) }, ClassRequest},
		"413":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 413, wire.CodeTooLarge) }, ClassRequest},
		"429":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 429, wire.CodeBusy) }, ClassUnavailable},
		"500 html": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", 500) }, ClassUnavailable},
		"404":      {func(w http.ResponseWriter, _ *http.Request) { fail(w, 404, wire.CodeNotFound) }, ClassUnavailable},
		"too long": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}", big) }, ClassUnavailable},
		"headers": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*maxHeader)) },
			ClassUnavailable},
		"hang up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ClassUnavailable},
	} {
		s.do(func() { s.answer = c.answer })
		if err := errorOf(t, config(t, s, ca)); err == nil || class(err) != c.class {
			t.Errorf("%s: %s: %v", name, class(err), err)
		}
	}
}

// A service that answers one byte at a time is given up after Answer.
func TestSlowAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		s.answer = func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(w, "{")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		}
		defer synctest.Wait()
		began := time.Now()
		if err := errorOf(t, cfg); class(err) != ClassUnavailable {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
