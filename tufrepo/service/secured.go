package service

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// Secured is a connection that says who is at its other end, as *tls.Conn does. Whoever hands the service connections that are
// Secured already has seen to what TLS would: their PeerCertificates and VerifiedChains are believed.
type Secured interface {
	net.Conn
	HandshakeContext(context.Context) error
	ConnectionState() tls.ConnectionState
}

// secure puts TLS on a connection that has none, and gives its place back when it is closed.
func (s *Service) secure(c net.Conn) Secured {
	counted := &countedConn{Conn: c, open: &s.metrics.open}
	if own, ok := c.(Secured); ok {
		return &countedSecured{Secured: own, counted: counted}
	}
	return tls.Server(counted, s.tls)
}

// countedSecured is a countedConn that is Secured.
type countedSecured struct {
	Secured
	counted *countedConn
}

func (c *countedSecured) Close() error { return c.counted.Close() }

// stateKey is of a context's value: the state of a connection that is Secured by another than crypto/tls.
type stateKey struct{}

// noteState has a request's context know what net/http does not note of connections other than *tls.Conn.
func noteState(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(*countedSecured); ok {
		state := own.ConnectionState()
		return context.WithValue(ctx, stateKey{}, &state)
	}
	return ctx
}

// stated sets what net/http has not noted.
func stated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(stateKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		next.ServeHTTP(w, r)
	})
}
