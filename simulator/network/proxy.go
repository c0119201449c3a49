package network

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Proxy is an HTTP proxy that makes tunnels (RFC 9110, section 9.3.6), for lines that lead through one.
type Proxy struct {
	listener net.Listener
	exchange *Exchange
	done     sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// StartProxy starts one on the loopback, or within an exchange.
func StartProxy(ctx context.Context, x *Exchange) (*Proxy, error) {
	l, err := x.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, exchange: x, conns: map[net.Conn]bool{}}
	p.done.Go(p.accept)
	return p, nil
}

// URL is what a unit is configured with.
func (p *Proxy) URL() string { return "http://" + p.listener.Addr().String() }

// Close ends the proxy and all tunnels.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() { p.serve(c) })
	}
}

// hold keeps a connection to be closed with the proxy.
func (p *Proxy) hold(c net.Conn) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		c.Close()
	}
}

func (p *Proxy) serve(c net.Conn) {
	defer p.hold(c)()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		_, _ = io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	to, err := p.exchange.Dial(ctx, nil, req.Host)
	cancel()
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer p.hold(to)()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, r); to.Close() })
	both.Go(func() { _, _ = io.Copy(c, to); c.Close() })
	both.Wait()
}

// portal answers whatever is said with a redirection, in clear text, and hangs up.
func portal() net.Conn {
	unit, other := net.Pipe()
	go func() {
		defer other.Close()
		if _, err := other.Read(make([]byte, 4<<10)); err != nil {
			return
		}
		_ = other.SetWriteDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(other, "HTTP/1.1 302 Found\r\nLocation: http://login.hotel.test/\r\nContent-Length: 0\r\n\r\n")
	}()
	return unit
}
