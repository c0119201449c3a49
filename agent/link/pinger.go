package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/log"
)

var errNoPong = errors.New("no answer to a ping")

// pinger sends a PINGREQ when one side has been silent for the keep-alive (MQTT 5, section 3.1.2.10), and closes the connection when no
// PINGRESP has come until the next is due. It takes no goroutine for that.
type pinger struct {
	conn *guard

	mu             sync.Mutex
	every          time.Duration
	sent, received time.Time // when something was
	waiting        bool      // for a PINGRESP
}

var _ paho.Pinger = (*pinger)(nil)

func newPinger(conn *guard) *pinger { return &pinger{conn: conn} }

// Run implements paho.Pinger. It returns at once, and goes on until ctx ends.
func (p *pinger) Run(ctx context.Context, _ net.Conn, seconds uint16) error {
	if seconds == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = time.Duration(seconds) * time.Second
	p.sent, p.received = time.Now(), time.Now()
	p.after(ctx, p.every)
	return nil
}

func (p *pinger) after(ctx context.Context, d time.Duration) {
	time.AfterFunc(d, func() {
		if ctx.Err() == nil {
			p.look(ctx)
		}
	})
}

// look does what is due.
func (p *pinger) look(ctx context.Context) {
	p.mu.Lock()
	silent := p.sent
	if p.received.Before(silent) {
		silent = p.received
	}
	rest, late := time.Until(silent.Add(p.every)), p.waiting
	due := !late && rest <= 0
	if due {
		rest, p.waiting = p.every, true
	}
	p.mu.Unlock()
	if late {
		p.conn.end(errNoPong)
		return
	}
	p.after(ctx, rest)
	if due {
		if _, err := packets.NewControlPacket(packets.PINGREQ).WriteTo(p.conn); err != nil {
			p.conn.end(err)
		}
	}
}

// PacketSent implements paho.Pinger.
func (p *pinger) PacketSent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = time.Now()
}

// PacketReceived implements paho.Pinger.
func (p *pinger) PacketReceived() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received = time.Now()
}

// PingResp implements paho.Pinger.
func (p *pinger) PingResp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
}

// SetDebug implements paho.Pinger.
func (*pinger) SetDebug(log.Logger) {}
