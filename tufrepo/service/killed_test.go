package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/remote/remotetest"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// pair is two services, each a process of its own, on one PostgreSQL and one Mosquitto, and a
// fleet that reaches both under one name.
type pair struct {
	t        *testing.T
	database string
	broker   *remotetest.Broker
	sites    [2]*site
	orders   [2]serveOrder
	at       [2]*process
	name     *name
	links    []*agentLink
	driven   sync.WaitGroup
	mu       sync.Mutex
	updates  map[string]map[string]bool // by device: what it was directed to
}

func newPair(t *testing.T, postgres *storetest.Server, devices int) *pair {
	p := &pair{t: t, database: postgres.Database(t), name: newName(t), updates: map[string]map[string]bool{}}
	one := newSite(t, func(c *service.Config) { c.Database, c.Node, c.NoBroker = p.database, "one", true })
	token := one.tenant("acme", int64(devices))
	var units []*unit
	for i := range devices {
		units = append(units, one.enrolled(token, fmt.Sprint("s", i)))
	}
	must(t, one.stop())
	p.broker = remotetest.Start(t, filepath.Join(service.StateDir(one.repo), "ca", "device-ca.crt"))
	p.sites = [2]*site{one, one.copied(t)}
	for i, node := range []string{"one", "two"} {
		p.orders[i] = serveOrder{Listen: "127.0.0.1:0", Database: p.database, Node: node}.beside(p.broker)
		p.start(i)
	}
	ca := one.ServerCA()
	for _, u := range units {
		a := u.linkedTo(t, p.name.Addr().String(), ca, p.broker)
		p.links = append(p.links, a)
		p.driven.Go(func() { p.drive(a) })
	}
	t.Cleanup(func() { p.name.Close(); p.driven.Wait() })
	return p
}

func (p *pair) start(i int) {
	p.t.Helper()
	p.at[i] = p.sites[i].process(p.orders[i])
	p.orders[i].Listen = p.at[i].address
	p.name.lead(i, p.at[i].address)
}

// drive does as a device does that is told to install something, until the test ends.
func (p *pair) drive(a *agentLink) {
	for {
		select {
		case raw := <-a.directions:
			d := a.verified(raw)
			if d.Update == "" || !p.first(a.resp.Device, d.Update) {
				continue
			}
			for _, state := range []wire.State{wire.Downloading, wire.Installing, wire.Rebooting, wire.Trying, wire.Committed} {
				if _, err := a.box.Append(event(d.Update, 0, state)); err != nil {
					p.t.Error(err)
				}
			}
		case <-a.connected:
		case <-p.name.closed:
			return
		}
	}
}

// first notes that a device was directed, and says whether it is for the first time.
func (p *pair) first(device, update string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.updates[device] == nil {
		p.updates[device] = map[string]bool{}
	}
	known := p.updates[device][update]
	p.updates[device][update] = true
	return !known
}

// begin starts the rollout at a service, and returns when it is in the middle.
func (p *pair) begin(at int) {
	p.t.Helper()
	must(p.t, p.at[at].api.Do(context.Background(), "POST", "/tenants/acme/rollouts",
		newRollout(`{"schema": 1, "in_flight": 3, "phases": [{"name": "all", "percent": 100}]}`), &api.Rollout{}))
	p.until(at, "the middle", func(r api.Rollout) bool { return r.Phases[0].Good > 2 && r.Finished == nil })
}

// until asks one of the services until f likes how the rollout stands.
func (p *pair) until(at int, what string, f func(api.Rollout) bool) {
	p.t.Helper()
	var r api.Rollout
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := p.at[at].api.Do(context.Background(), "GET", "/tenants/acme/rollouts/"+testRollout, nil, &r); err == nil && f(r) {
			return
		}
	}
	p.t.Fatalf("%s: never, it is %+v", what, r)
}

// wholeAt wants the rollout to finish at a service that lives, every report to arrive, and no
// device to have been directed twice.
func (p *pair) wholeAt(at int) {
	p.t.Helper()
	n := len(p.links)
	p.until(at, "the end", func(r api.Rollout) bool { return r.Run == "finished" && r.Phases[0].Good == n })
	db, err := store.Open(context.Background(), p.database, store.Options{})
	must(p.t, err)
	defer db.Close()
	for _, a := range p.links {
		until(p.t, "the outbox is empty", func() bool { return a.box.Len() == 0 })
		must(p.t, db.View(context.Background(), func(tx *store.Tx) error {
			events, err := tx.Events(a.resp.Device, 100)
			if len(events) != 5 {
				p.t.Errorf("%d reports of device %s are stored, want 5", len(events), a.resp.Device)
			}
			d, err2 := tx.Direction(a.resp.Device)
			if err2 == nil && d.Version != 2 {
				p.t.Errorf("device %s has direction %d, want 2: nothing, then the release", a.resp.Device, d.Version)
			}
			return errors.Join(err, err2)
		}))
		p.mu.Lock()
		if len(p.updates[a.resp.Device]) != 1 {
			p.t.Errorf("device %s was directed to %d updates", a.resp.Device, len(p.updates[a.resp.Device]))
		}
		p.mu.Unlock()
	}
}

// TestKilledServices kills, as kill -9 does, in the middle of a rollout.
func TestKilledServices(t *testing.T) {
	var postgres storetest.Server
	t.Cleanup(postgres.Stop)
	for name, kill := range map[string]func(*pair) (alive int){
		"who has the rollout": func(p *pair) int { p.at[0].kill(); return 1 },
		"who looks on, and the broker": func(p *pair) int {
			p.at[1].kill()
			p.broker.Kill()
			p.broker.Again()
			return 0
		},
	} {
		if name == "who has the rollout" && !long { // the other one waits for the end of the lease, 15 s
			continue
		}
		t.Run(name, func(t *testing.T) {
			p := newPair(t, &postgres, 16)
			p.begin(0)
			alive := kill(p)
			p.wholeAt(alive)
			p.start(1 - alive) // it comes back, and has nothing to add
			p.wholeAt(1 - alive)
		})
	}
}

// name is an address that leads to whichever service takes connections.
type name struct {
	net.Listener
	closed chan struct{}
	mu     sync.Mutex
	to     [2]string
	wg     sync.WaitGroup
}

func newName(t *testing.T) *name {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n := &name{Listener: l, closed: make(chan struct{})}
	n.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.wg.Go(func() { n.carry(c) })
		}
	})
	return n
}

func (n *name) lead(i int, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to[i] = address
}

// Close also waits for the connections, whose ends the services make.
func (n *name) Close() error {
	close(n.closed)
	return n.Listener.Close()
}

func (n *name) carry(c net.Conn) {
	defer c.Close()
	n.mu.Lock()
	to := n.to
	n.mu.Unlock()
	first := rand.N(2)
	for _, address := range []string{to[first], to[1-first]} {
		s, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		defer s.Close()
		go func() { io.Copy(s, c); s.Close() }() //nolint:errcheck // whichever end comes first
		io.Copy(c, s)                            //nolint:errcheck // as above
		return
	}
}
