package link

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync"
)

// roads carry HTTPS requests by connections that begin anew when the certificate is another one: what is busy at that
// moment would be used again and again, and speak for the old one. Without requests and connections there is no road.
type roads struct {
	dial *dialer
	mu   sync.Mutex
	all  []*road // that are used
	now  *road   // the one that new requests take; nil for none
}

// road is a transport, and how many use it: requests that have no answer yet, and connections.
type road struct {
	*http.Transport
	users int
}

// RoundTrip implements http.RoundTripper.
func (r *roads) RoundTrip(req *http.Request) (*http.Response, error) {
	way := r.take()
	defer r.leave(way)
	return way.RoundTrip(req)
}

func (r *roads) take() *road {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now = r.build()
		r.all = append(r.all, r.now)
	}
	r.now.users++
	return r.now
}

// build makes a road that counts its connections.
func (r *roads) build() *road {
	way := &road{Transport: r.dial.transport()}
	way.DialContext = r.counted(way, way.DialContext)
	if way.DialTLSContext != nil {
		way.DialTLSContext = r.counted(way, way.DialTLSContext)
	}
	return way
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (r *roads) counted(way *road, dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		way.users++
		return &roadConn{Conn: conn, left: sync.OnceFunc(func() { r.leave(way) })}, nil
	}
}

// roadConn is a connection on a road.
type roadConn struct {
	net.Conn
	left func()
}

// Close implements net.Conn.
func (c *roadConn) Close() error {
	c.left()
	return c.Conn.Close()
}

// leave gives up a road that nobody uses any more.
func (r *roads) leave(way *road) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if way.users--; way.users > 0 {
		return
	}
	r.all = slices.DeleteFunc(r.all, func(other *road) bool { return other == way })
	if len(r.all) == 0 {
		r.all = nil
	}
	if r.now == way {
		r.now = nil
	}
}

// renew has later requests make connections of their own.
func (r *roads) renew() {
	r.mu.Lock()
	r.now = nil
	r.mu.Unlock()
	r.CloseIdleConnections()
}

// CloseIdleConnections is what http.Client asks for.
func (r *roads) CloseIdleConnections() {
	r.mu.Lock()
	all := slices.Clone(r.all) // what is closed leaves
	r.mu.Unlock()
	for _, way := range all {
		way.CloseIdleConnections()
	}
}
