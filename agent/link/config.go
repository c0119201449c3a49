package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
)

// Network is how a device reaches its service, with or without an identity.
type Network struct {
	// Service is https://host or https://host:port.
	Service string
	// Roots are the authorities of the service's certificate; nil means those of the system.
	Roots *x509.CertPool
	// Now is the trusted time, for certificates and messages; nil means time.Now.
	Now func() time.Time
	// Proxy is http://[user:password@]host[:port] for every connection, "none" for none, or
	// "" to follow HTTPS_PROXY and NO_PROXY.
	Proxy string
	// Dial makes TCP connections; nil means the system's dialer. Other connections must take
	// some bytes before they are read, as sockets do and net.Pipe does not: TLS 1.3 needs it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Secure puts TLS on a connection to the service; nil means crypto/tls, which is for everybody but simulators.
	Secure func(c net.Conn, cfg *tls.Config) Secured
}

// Secured is a connection that knows who is at its other end, as *tls.Conn does.
type Secured interface {
	net.Conn
	HandshakeContext(context.Context) error
	ConnectionState() tls.ConnectionState
}

// Config is what a link needs to know.
type Config struct {
	Network
	Tenant, Device string
	// Certificate is asked before every handshake, so that a renewed one is used at once.
	Certificate func() (*tls.Certificate, error)
	// Transports are the rungs of the ladder from the top: wire.TransportMQTTS and
	// wire.TransportWSS. nil means both, beside a Broker the first; empty means HTTPS only.
	Transports []string
	// Broker is mqtts://host or mqtts://host:port of an MQTT 5 broker that is not the service:
	// see the package comment. "" means that the service's port speaks MQTT.
	Broker string
	// Disabled makes no connection at all.
	Disabled bool
	Outbox   *outbox.Outbox
	Timing   Timing
	// Rand is uniform in [0,1) and safe for concurrent use; nil means math/rand/v2.
	Rand func() float64
	Log  *slog.Logger // nil means none
}

// Timing is in real time. Zero values mean the defaults; every wait is made random by the
// link.
type Timing struct {
	Start        time.Duration // the first attempt comes within it: 3 s
	Attempt      time.Duration // for one connection up to TLS or WebSocket: 20 s
	Answer       time.Duration // for one acknowledgement or HTTPS answer: 30 s
	KeepAlive    time.Duration // of MQTT: 120 s
	Stable       time.Duration // a connection that lasts so long was a success: 60 s
	BackoffMin   time.Duration // least wait after a failure: 2 s
	BackoffMax   time.Duration // longest wait after failures: 10 min
	Hold         time.Duration // wait after a refused or a doubled identity: 10 min
	Poll         time.Duration // for the direction, beside MQTT: 6 h
	FallbackPoll time.Duration // for the direction, without MQTT: 5 min
	Climb        time.Duration // until a better rung is tried: 24 h
	Stop         time.Duration // for what is left to say on a clean stop: 3 s
}

// Handler takes what the service sends. Its methods are called from several goroutines;
// they must not block and must not call the link: they put things where the agent finds
// them. Everything may come more than once.
type Handler interface {
	// Direction gets a direction that nobody has verified yet, at most wire.MaxDirection bytes.
	Direction(raw []byte)
	// Cmd gets a command that has not expired.
	Cmd(c wire.Cmd)
	// Connected says by which transport the service is reached from now on; "" means that
	// it is not. It is called on every change.
	Connected(transport string)
}

func (t Timing) withDefaults() Timing {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Start, 3 * time.Second}, {&t.Attempt, 20 * time.Second}, {&t.Answer, 30 * time.Second},
		{&t.KeepAlive, 120 * time.Second}, {&t.Stable, time.Minute},
		{&t.BackoffMin, 2 * time.Second}, {&t.BackoffMax, 10 * time.Minute}, {&t.Hold, 10 * time.Minute},
		{&t.Poll, 6 * time.Hour}, {&t.FallbackPoll, 5 * time.Minute}, {&t.Climb, 24 * time.Hour},
		{&t.Stop, 3 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

func (c Config) withDefaults() Config {
	switch {
	case c.Transports == nil && c.Broker != "":
		c.Transports = []string{wire.TransportMQTTS}
	case c.Transports == nil:
		c.Transports = []string{wire.TransportMQTTS, wire.TransportWSS}
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Timing = c.Timing.withDefaults()
	return c
}

func (c Config) check() error {
	for _, t := range c.Transports {
		if t != wire.TransportMQTTS && t != wire.TransportWSS {
			return fmt.Errorf("transport %q is neither %s nor %s", t, wire.TransportMQTTS, wire.TransportWSS)
		}
	}
	if c.Broker != "" && slices.Contains(c.Transports, wire.TransportWSS) {
		return fmt.Errorf("transport %s leads to the service, not to the broker %s: leave it out", wire.TransportWSS, c.Broker)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(c.Transports)))) != len(c.Transports) {
		return fmt.Errorf("transports %v name one twice", c.Transports)
	}
	if err := errors.Join(wire.CheckID(c.Tenant), wire.CheckID(c.Device)); err != nil {
		return fmt.Errorf("tenant or device: %w", err)
	}
	if c.Outbox == nil || c.Certificate == nil {
		return errors.New("outbox or certificate is missing")
	}
	return nil
}
