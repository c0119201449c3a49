package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"golang.org/x/net/http/httpproxy"
)

// dialTimeout is for a connection up to the tunnel through the proxy.
const dialTimeout = 30 * time.Second

// idleTimeout is for a connection that carries no request. Requests come a few together, and then none for a long time, in which a
// connection takes as much memory, at both ends, as everything else of the link.
const idleTimeout = 10 * time.Second

// maxHeader bounds the header of any HTTP answer.
const maxHeader = 32 << 10

// dialer makes every connection of the link.
type dialer struct {
	service *url.URL
	broker  *url.URL // nil: the service's port speaks MQTT
	tcp     func(ctx context.Context, network, address string) (net.Conn, error)
	proxy   func(*url.URL) (*url.URL, error)
	secure  func(net.Conn, *tls.Config) Secured // nil: crypto/tls
	mu      sync.Mutex
	tls     *tls.Config // without ServerName and NextProtos; see config
}

// config is the TLS configuration of a connection that begins now.
func (d *dialer) config() *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tls.Clone()
}

// forget has later connections resume no session of earlier ones. A resumed session speaks for the certificate that it began
// with; what earlier connections are still told of sessions goes where nobody looks any more.
func (d *dialer) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tls = d.tls.Clone()
	d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(4)
}

func newDialer(n Network, cert func() (*tls.Certificate, error)) (*dialer, error) {
	service, err := url.Parse(n.Service)
	if err != nil {
		return nil, fmt.Errorf("service address: %w", err)
	}
	if service.Scheme != "https" || service.Hostname() == "" || strings.Trim(service.Path, "/") != "" ||
		service.User != nil || service.RawQuery != "" {
		return nil, fmt.Errorf("service address %q is not https://host or https://host:port", n.Service)
	}
	proxy, err := proxyFor(n.Proxy)
	if err != nil {
		return nil, err
	}
	d := &dialer{service: &url.URL{Scheme: "https", Host: service.Host}, tcp: n.Dial, proxy: proxy, secure: n.Secure}
	if d.tcp == nil {
		d.tcp = (&net.Dialer{KeepAlive: time.Minute}).DialContext
	}
	d.tls = &tls.Config{RootCAs: n.Roots, Time: n.Now, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if cert != nil {
		d.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert() }
	}
	return d, nil
}

// proxyFor understands Network.Proxy.
func proxyFor(setting string) (func(*url.URL) (*url.URL, error), error) {
	switch setting {
	case "":
		return httpproxy.FromEnvironment().ProxyFunc(), nil
	case "none":
		return func(*url.URL) (*url.URL, error) { return nil, nil }, nil
	}
	proxy, err := url.Parse(setting)
	if err != nil {
		return nil, errors.New("proxy address cannot be read, it should be http://[user:password@]host[:port]")
	}
	if err := checkProxy(proxy); err != nil {
		return nil, err
	}
	return func(*url.URL) (*url.URL, error) { return proxy, nil }, nil
}

func checkProxy(proxy *url.URL) error {
	if proxy.Scheme != "http" || proxy.Hostname() == "" {
		return fmt.Errorf("proxy %s is not http://[user:password@]host[:port], no other kind is supported", proxy.Redacted())
	}
	return nil
}

// dial connects to address (host:port) directly or through the proxy.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	proxy, err := d.proxy(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, &Error{Class: ClassProxy, Err: fmt.Errorf("proxy setting in the environment: %w", err)}
	}
	if proxy == nil {
		return d.tcp(ctx, network, address)
	}
	if err := checkProxy(proxy); err != nil {
		return nil, &Error{Class: ClassProxy, Err: err}
	}
	conn, err := d.tcp(ctx, network, withPort(proxy, "80"))
	if err != nil {
		return nil, &Error{Class: ClassProxy, Err: fmt.Errorf("reach proxy %s: %w", proxy.Host, err)}
	}
	stop := abortWith(ctx, conn)
	defer stop()
	if err := connect(conn, proxy, address); err != nil {
		conn.Close()
		return nil, &Error{Class: ClassProxy, Err: fmt.Errorf("proxy %s: %w", proxy.Host, err)}
	}
	return conn, nil
}

// abortWith makes reads and writes of conn fail when ctx ends, until stop is called.
func abortWith(ctx context.Context, conn net.Conn) (stop func()) {
	past := time.Unix(1, 0)
	cancel := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	return func() {
		if cancel() {
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// connect asks the proxy for a tunnel (RFC 9110, section 9.3.6).
func connect(conn net.Conn, proxy *url.URL, address string) error {
	head := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		token := base64.StdEncoding.EncodeToString([]byte(proxy.User.Username() + ":" + password))
		head += "Proxy-Authorization: Basic " + token + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.LimitReader(conn, maxHeader), 1<<10)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("its answer to CONNECT: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return errors.New("it wants a user and password that the link has not or that are wrong (Basic only)")
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("it refused a tunnel to %s: %s", address, resp.Status)
	case r.Buffered() > 0:
		return errors.New("it sent bytes that are not the service's")
	}
	return nil
}

// dialTLS connects to the service and agrees on protocol by ALPN.
func (d *dialer) dialTLS(ctx context.Context, protocol string) (Secured, error) {
	return d.dialTLSTo(ctx, d.service, "443", protocol)
}

func (d *dialer) dialTLSTo(ctx context.Context, server *url.URL, port, protocol string) (Secured, error) {
	raw, err := d.dial(ctx, "tcp", withPort(server, port))
	if err != nil {
		return nil, err
	}
	cfg := d.config()
	cfg.ServerName, cfg.NextProtos = server.Hostname(), []string{protocol}
	conn := d.client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS with %s: %w", server.Host, err)
	}
	return conn, nil
}

func (d *dialer) client(raw net.Conn, cfg *tls.Config) Secured {
	if d.secure != nil {
		return d.secure(raw, cfg)
	}
	return tls.Client(raw, cfg)
}

// setBroker has MQTT go to a broker beside the service.
func (d *dialer) setBroker(address string) error {
	if address == "" {
		return nil
	}
	broker, err := url.Parse(address)
	if err != nil || broker.Scheme != "mqtts" || broker.Hostname() == "" || broker.User != nil || broker.RawQuery != "" || broker.Path != "" {
		return fmt.Errorf("broker address %q is not mqtts://host or mqtts://host:port", address)
	}
	d.broker = broker
	return nil
}

// dialMQTT connects to what speaks MQTT on the service's port, or to the broker beside it, of which ALPN is not expected.
func (d *dialer) dialMQTT(ctx context.Context) (net.Conn, error) {
	if d.broker != nil {
		return d.dialTLSTo(ctx, d.broker, "8883", wire.ALPN)
	}
	conn, err := d.dialTLS(ctx, wire.ALPN)
	if err != nil {
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != wire.ALPN {
		conn.Close()
		return nil, fmt.Errorf("the service's port does not offer MQTT (ALPN %q)", got)
	}
	return conn, nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// transport carries HTTPS requests, over few connections that do not idle for long.
func (d *dialer) transport() *http.Transport {
	cfg := d.config()
	cfg.NextProtos = []string{"http/1.1"}
	t := &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        cfg,
		TLSHandshakeTimeout:    20 * time.Second,
		DisableCompression:     true,
		MaxIdleConns:           4,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        4,
		IdleConnTimeout:        idleTimeout,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	if d.secure != nil {
		t.DialTLSContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			return d.dialTLSTo(ctx, &url.URL{Host: address}, "443", "http/1.1")
		}
	}
	return t
}

// NewHTTPClient makes a client that goes the same ways as a [Link]. It follows redirects
// as http.Client does; whoever uses it sets limits of time and size. cert may be nil.
func NewHTTPClient(n Network, cert func() (*tls.Certificate, error)) (*http.Client, error) {
	d, err := newDialer(n, cert)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: d.transport()}, nil
}
