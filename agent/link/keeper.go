package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"
)

// errDown means that there is no MQTT connection.
var errDown = errors.New("there is no connection to the broker")

// denial is a CONNACK that says no.
type denial struct {
	code   byte
	reason string
}

func (d *denial) Error() string { return fmt.Sprintf("denied with 0x%02x", d.code) }

// keeper keeps an MQTT connection up. It has a goroutine only as long as there is none: a fleet that is connected and idle is
// mostly goroutines that wait.
type keeper struct {
	s      *session
	client paho.ClientConfig // of every connection
	alive  uint16            // seconds
	ctx    context.Context   // ends with the keeper
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu   sync.Mutex
	up   *paho.Client // nil for none
	gone bool         // stop was called
}

// kept is one connection of a keeper, which holds the lock of what it says.
type kept struct {
	client   *paho.Client
	up, lost bool
}

// startKeeper begins to connect.
func startKeeper(s *session) *keeper {
	k := &keeper{s: s, alive: uint16(min(max(around(s.cfg.Timing.KeepAlive, s.cfg.Rand)/time.Second, 1), 65535)),
		client: paho.ClientConfig{
			ClientID: s.cfg.Device, PacketTimeout: s.cfg.Timing.Answer, AuthHandler: noAuth{}, Session: state.NewInMemory(),
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){s.received},
		}}
	// Not the context of a caller: a clean stop still has something to say.
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.work.Go(k.run)
	return k
}

// run connects, until there is a connection or the keeper goes.
func (k *keeper) run() {
	for {
		c := k.establish()
		if c == nil || !k.took(c) {
			return
		}
		k.down(c)
	}
}

// establish makes rounds of attempts, each with a pause before it. nil if the keeper goes.
func (k *keeper) establish() *kept {
	for {
		pause := time.NewTimer(k.s.wait())
		select {
		case <-pause.C:
		case <-k.ctx.Done():
			pause.Stop()
			return nil
		}
		for i := range k.s.cfg.Transports {
			c, err := k.attempt(i)
			if err == nil {
				return c
			}
			if k.ctx.Err() != nil {
				return nil
			}
			k.s.failed(err)
		}
	}
}

// attempt makes one connection, by the i-th choice of the ladder.
func (k *keeper) attempt(i int) (*kept, error) {
	packet, err := k.s.connectPacket(k.alive)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(k.ctx, k.s.cfg.Timing.Attempt+k.s.cfg.Timing.Answer)
	defer cancel()
	conn, err := k.s.attempt(ctx, i)
	if err != nil {
		return nil, err
	}
	c, cfg := &kept{}, k.client
	cfg.Conn, cfg.PingHandler = conn, newPinger(conn)
	cfg.OnClientError = func(err error) { k.lost(c, func() { k.s.broken(conn.why(err)) }) }
	cfg.OnServerDisconnect = func(d *paho.Disconnect) { k.lost(c, func() { k.s.dismissed(d) }) }
	c.client = paho.NewClient(cfg)
	ack, err := c.client.Connect(ctx, packet)
	if err != nil && ack != nil {
		d := &denial{code: ack.ReasonCode}
		if ack.Properties != nil {
			d.reason = ack.Properties.ReasonString
		}
		err = d
	}
	return c, err
}

// took notes a new connection. It reports false if there is nothing more to do before the connection ends, and true if it has ended.
func (k *keeper) took(c *kept) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		_ = c.client.Disconnect(&paho.Disconnect{}) // nobody waits for it
		return false
	}
	c.up, k.up = true, c.client
	k.s.up()
	return c.lost
}

// lost is called when a connection ends, on a goroutine of the library; more than once if there is more than one reason.
func (k *keeper) lost(c *kept, tell func()) {
	k.mu.Lock()
	gone, first, up := k.gone, !c.lost, c.up
	c.lost = true
	if first && up && !gone {
		k.work.Add(1) // before stop waits
	}
	k.mu.Unlock()
	if gone || !first {
		return
	}
	tell()
	if up {
		defer k.work.Done()
		k.down(c)
		k.run()
	}
}

// down forgets a connection.
func (k *keeper) down(c *kept) {
	<-c.client.Done()
	k.mu.Lock()
	k.up = nil
	k.mu.Unlock()
	k.s.down()
}

// now is the connection that is up.
func (k *keeper) now() (*paho.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.up == nil {
		return nil, errDown
	}
	return k.up, nil
}

func (k *keeper) publish(ctx context.Context, p *paho.Publish) (*paho.PublishResponse, error) {
	c, err := k.now()
	if err != nil {
		return nil, err
	}
	return c.Publish(ctx, p)
}

func (k *keeper) subscribe(ctx context.Context, sub *paho.Subscribe) (*paho.Suback, error) {
	c, err := k.now()
	if err != nil {
		return nil, err
	}
	return c.Subscribe(ctx, sub)
}

// stop says goodbye. The channel is closed when nothing is left.
func (k *keeper) stop() <-chan struct{} {
	k.mu.Lock()
	k.gone = true
	last := k.up
	k.mu.Unlock()
	k.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if last != nil {
			_ = last.Disconnect(&paho.Disconnect{}) // it is closed anyway
		}
		k.work.Wait()
	}()
	return done
}
