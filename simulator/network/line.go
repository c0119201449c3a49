package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Errors of a line that is down.
var (
	ErrDown = errors.New("the line is down (simulated)")
	ErrLost = errors.New("the connection was lost (simulated)")
)

// Counters is what went over lines. One may count for a whole fleet.
type Counters struct {
	Received, Sent    atomic.Int64 // bytes
	Connections, Open atomic.Int64
	Failed            atomic.Int64 // connections that were not made
	HTTP, MQTT, Other atomic.Int64 // connections by what the client asked TLS for
}

// Line is the line of one unit. It is safe for concurrent use.
type Line struct {
	class    atomic.Pointer[Class]
	counters *Counters
	began    time.Time
	phase    float64   // where in its period of being offline the unit begins
	exchange *Exchange // nil: TCP
	from     net.Addr  // nil: the machine's own
	apart    time.Duration
	received atomic.Int64

	seed  uint64
	mu    sync.Mutex
	down  bool // the unit has no power
	cable bool // pulled
	web   bool // the web server is out of reach, the broker is not
	conns map[*conn]struct{}
	in    *rate.Limiter
	out   *rate.Limiter
}

// New makes a line. Everything random in it comes from seed; counters may be shared.
func New(c Class, seed uint64, counters *Counters) *Line {
	l := &Line{counters: counters, began: time.Now(), seed: seed, conns: map[*conn]struct{}{}}
	l.phase = Dice(seed, 7)
	l.SetClass(c)
	return l
}

// From gives the line an address of its own within the machine's loopback, 127.0.0.0/8, so that a large fleet does not run out of
// ports, and a service can tell its units by their addresses. It is called before the line is used.
func (l *Line) From(ip net.IP) { l.from = &net.TCPAddr{IP: ip} }

// Over has the line lead through an exchange; nil for TCP. It is called before the line is used.
func (l *Line) Over(x *Exchange) { l.exchange = x }

// Apart has each turn take a little longer than on other lines. In virtual time, units that are told something at the same moment
// would otherwise answer at the same moment, in no order. It is called before the line is used.
func (l *Line) Apart() { l.apart = time.Duration(Dice(l.seed, 8) * float64(time.Millisecond)) }

// Dice is a number within [0,1) that depends on its arguments alone.
func Dice(seed, throw uint64) float64 {
	return rand.New(rand.NewPCG(seed, throw)).Float64()
}

// SetClass makes it another kind of line from now on.
func (l *Line) SetClass(c Class) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.class.Store(&c)
	l.in, l.out = limiter(c.Rate), limiter(c.Rate)
}

// Class is what kind of line it is.
func (l *Line) Class() Class { return *l.class.Load() }

// Received is how many bytes the unit has received, TLS included.
func (l *Line) Received() int64 { return l.received.Load() }

// maxChunk bounds what is sent or received at once on a line with a rate, in bytes.
const maxChunk = 16 << 10

func limiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), maxChunk)
}

// Cut ends all connections at once, without a word, and lets none be made.
func (l *Line) Cut() { l.set(func() { l.down = true }, true) }

// Restore lets connections be made again.
func (l *Line) Restore() { l.set(func() { l.down = false }, false) }

// Pull takes the line away, or brings it back.
func (l *Line) Pull(away bool) { l.set(func() { l.cable = away }, away) }

// BlockWeb has HTTPS fail while MQTT goes on, as when the web server is down; connections that speak it end.
func (l *Line) BlockWeb(blocked bool) {
	l.mu.Lock()
	l.web = blocked
	victims := l.open()
	l.mu.Unlock()
	for _, c := range victims {
		if blocked && c.protocol.Load() == protocolHTTP {
			c.abort()
		}
	}
}

func (l *Line) set(change func(), end bool) {
	l.mu.Lock()
	change()
	victims := l.open()
	l.mu.Unlock()
	for _, c := range victims {
		if end {
			c.abort()
		}
	}
}

// open lists connections, with the lock held.
func (l *Line) open() (all []*conn) {
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}

// Dial connects as net.Dialer does.
func (l *Line) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := l.connect(ctx, address)
	if err != nil {
		l.counters.Failed.Add(1)
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	l.counters.Connections.Add(1)
	l.counters.Open.Add(1)
	return c, nil
}

func (l *Line) connect(ctx context.Context, address string) (net.Conn, error) {
	class := l.Class()
	if l.isDown() {
		return nil, ErrDown
	}
	if err := l.reach(ctx, class); err != nil {
		return nil, err
	}
	var raw net.Conn
	var err error
	if class.Portal {
		raw = portal()
	} else if raw, err = l.exchange.Dial(ctx, l.from, address); err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, line: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.cable {
		raw.Close()
		return nil, ErrDown
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// reach is the time that connecting takes. Where lines are apart it takes none: requests that are made at the same moment would else
// differ by who of them finds a connection that is idle.
func (l *Line) reach(ctx context.Context, class Class) error {
	if l.apart > 0 {
		return ctx.Err()
	}
	return pause(ctx, class.Latency)
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isDown: without power, pulled, or in its offline hours.
func (l *Line) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down || l.cable || l.offline()
}

func (l *Line) offline() bool {
	c := l.Class()
	if c.Offline == 0 {
		return false
	}
	since := time.Since(l.began) + time.Duration(l.phase*float64(c.Every))
	return since%c.Every < c.Offline
}

func (l *Line) blocked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.web
}

// chance is true with probability p, the n-th time that it is asked at this moment. It depends on the moment and not on what was
// asked before, so that connections which are used at once do not take each other's luck.
func (l *Line) chance(p float64, n int) bool {
	return p > 0 && Dice(l.seed+uint64(n)<<32, uint64(time.Now().UnixNano())) < p
}

func (l *Line) limiters() (in, out *rate.Limiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.in, l.out
}

func (l *Line) closed(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.conns[c]; open {
		delete(l.conns, c)
		l.counters.Open.Add(-1)
	}
}
