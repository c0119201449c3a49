package service

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/broker"
)

const alpnMQTT = wire.ALPN

// accept takes connections until ctx ends. Each gets a goroutine of its own for the
// handshake, and is then MQTT or the web server's. Those that come faster than they are
// taken wait in the system's queue: a fleet that comes back after a restart is served one
// after the other, where a refusal would send it into longer and longer waits.
func (s *Service) accept(ctx context.Context, web *web) error {
	rates := newPacer(s.Limits.AcceptRate)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		if err := rates.wait(ctx); err != nil {
			return err
		}
		c, err := s.devices.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if ctx.Err() == nil && errors.As(err, &temporary) && temporary.Temporary() {
				s.Log.Error("connections cannot be accepted; perhaps too many files are open", "error", err)
				pause(ctx, 100*time.Millisecond)
				continue
			}
			return err
		}
		if s.metrics.open.Add(1) > int64(s.Limits.Connections) {
			s.metrics.open.Add(-1)
			s.metrics.refused.WithLabelValues("connections").Inc()
			c.Close()
			continue
		}
		conn := s.secure(c)
		wg.Go(func() { s.dispatch(ctx, conn, web) })
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// dispatch makes the handshake and hands the connection on.
func (s *Service) dispatch(ctx context.Context, conn Secured, web *web) {
	hs, cancel := context.WithTimeout(ctx, s.Limits.Handshake)
	err := conn.HandshakeContext(hs)
	cancel()
	if err != nil {
		s.metrics.refused.WithLabelValues("handshake").Inc()
		s.Log.Debug("handshake failed", "remote", conn.RemoteAddr().String(), "error", err)
		conn.Close()
		return
	}
	if conn.ConnectionState().NegotiatedProtocol != alpnMQTT {
		web.take(ctx, conn)
		return
	}
	s.serveMQTT(ctx, conn)
}

// serveMQTT serves a device that has asked for MQTT in its handshake.
func (s *Service) serveMQTT(ctx context.Context, conn Secured) {
	state := conn.ConnectionState()
	proof := s.proof(&state, nil)
	if proof != nil {
		if id, err := proof(ctx); err != nil && !director.IsOffline(err) {
			s.tellDevice(ctx, conn.RemoteAddr().String(), audit.DeviceRefuse, id, err)
			s.metrics.refused.WithLabelValues("identity").Inc()
			s.Log.Warn("MQTT connection refused", "remote", conn.RemoteAddr().String(), "error", err)
			s.refuseMQTT(conn)
			return
		}
	}
	if err := s.serveBroker(conn, conn.RemoteAddr().String(), proof); err != nil {
		s.Log.Debug("MQTT connection ended", "remote", conn.RemoteAddr().String(), "error", err)
	}
}

// serveBroker hands a connection to the broker; without a proof it takes user name and
// password in the CONNECT, within the limits of an address.
func (s *Service) serveBroker(conn net.Conn, remote string, proof broker.Proof) error {
	if proof != nil {
		return s.broker.Serve(conn, proof)
	}
	return s.broker.ServeLogin(conn, func(user, password string) broker.Proof {
		if !s.enrolls.allow(remote) {
			return func(context.Context) (director.Identity, error) { return director.Identity{}, errBusy }
		}
		first := true
		return func(ctx context.Context) (director.Identity, error) {
			id, err := s.director.Login(ctx, user, password)
			if first && director.Withdrawn(err) && !director.IsOffline(err) {
				s.enrolls.failed(remote)
				s.metrics.refused.WithLabelValues("identity").Inc()
				s.tellDevice(ctx, remote, audit.DeviceRefuse, id, err)
			}
			first = false
			return id, err
		}
	})
}

// errBusy says nothing of the key.
var errBusy = errors.New("too many connections with access keys from this address")

// refuseMQTT says in a CONNACK (MQTT 5, 3.2) that the identity is not accepted, so that the
// device can tell it from a broken network.
func (s *Service) refuseMQTT(conn net.Conn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(s.Limits.Handshake)) != nil {
		return
	}
	first := make([]byte, 1)
	if _, err := conn.Read(first); err == nil && first[0] == 0x10 {
		conn.Write([]byte{0x20, 3, 0, 0x87, 0}) // not authorized; it is closed anyway
	}
}
