package service_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/remote/remotetest"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// agentLink is an agent's link with its outbox.
type agentLink struct {
	*unit
	heard
	box *outbox.Outbox
}

// linked connects a device by the agent's own link, over HTTPS to a service and by MQTT to a broker.
func (u *unit) linked(t *testing.T, s *site, broker *remotetest.Broker) *agentLink {
	t.Helper()
	return u.linkedTo(t, s.Addr().String(), s.ServerCA(), broker)
}

// linkedTo is linked to a service whose address and authority are known.
func (u *unit) linkedTo(t *testing.T, service string, authority []byte, broker *remotetest.Broker) *agentLink {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	roots.AppendCertsFromPEM(broker.PEM)
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	must(t, err)
	l, err := link.New(link.Config{
		Network: link.Network{Service: "https://" + service, Roots: roots, Proxy: "none"},
		Tenant:  u.resp.Tenant, Device: u.resp.Device, Outbox: box, Broker: broker.URL.String(),
		Certificate: func() (*tls.Certificate, error) { return u.cert, nil },
		Timing: link.Timing{Start: 10 * time.Millisecond, BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
			Poll: time.Hour, FallbackPoll: time.Hour, Stop: 100 * time.Millisecond}})
	must(t, err)
	a := &agentLink{u, heard{make(chan []byte, 100), make(chan string, 100), make(chan wire.Cmd, 100)}, box}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx, a.heard) }()
	t.Cleanup(func() { cancel(); <-ended; l.HTTPClient().CloseIdleConnections() })
	return a
}

// gets waits for the direction of an update; the same may come twice, an older one may not come after a newer.
func (a *agentLink) gets(t *testing.T, update string, newest int64) int64 {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case raw := <-a.directions:
			d := a.verified(raw)
			if d.Version < newest {
				t.Fatalf("direction %d came after %d", d.Version, newest)
			}
			if newest = d.Version; d.Update == update {
				return newest
			}
		case <-late:
			t.Fatalf("device %s did not get update %s", a.resp.Device, update)
		}
	}
}

// Two services share one PostgreSQL and one Mosquitto. Whichever is asked directs every device, once; either may end and
// come back, and no report is lost.
func TestTwoServices(t *testing.T) {
	var postgres storetest.Server
	t.Cleanup(postgres.Stop)
	database := postgres.Database(t)
	one := newSite(t, func(c *service.Config) { c.Database, c.Node, c.NoBroker = database, "one", true })
	must(t, one.stop()) // it has made its authorities
	broker := remotetest.Start(t, filepath.Join(service.StateDir(one.repo), "ca", "device-ca.crt"))
	shared := func(node string) func(*service.Config) {
		return func(c *service.Config) {
			c.Database, c.Node = database, node
			c.MQTT = &remote.Config{Broker: broker.URL, TLS: broker.TLS("director")}
		}
	}
	one.start(shared("one"))
	token := one.tenant("acme", 10)
	two := one.copied(t)
	two.start(shared("two"))

	var links []*agentLink
	versions := make([]int64, 6)
	for i := range versions {
		s := []*site{one, two}[i%2]
		links = append(links, s.enrolled(token, fmt.Sprint("s", i)).linked(t, s, broker))
	}
	for i, a := range links {
		versions[i] = a.gets(t, "", 0)
	}
	direct := func(by *site, version string) []string {
		updates := make([]string, len(links))
		for i, a := range links {
			updates[i] = by.direct("acme", version, a.unit)
		}
		for i, a := range links {
			versions[i] = a.gets(t, updates[i], versions[i])
		}
		return updates
	}
	report := func(updates []string, state wire.State) {
		for i, a := range links {
			_, err := a.box.Append(event(updates[i], 0, state))
			must(t, err)
		}
	}
	arrived := func(at *site, updates []string, state wire.State) func() bool {
		return func() bool {
			var all api.Updates
			at.ask("GET", "/updates?latest=1", nil, &all)
			n := 0
			for _, u := range all.Updates {
				if u.State == string(state) {
					n++
				}
			}
			return n == len(updates)
		}
	}
	updates := direct(one, "1.1.0")
	report(updates, wire.Downloading)
	until(t, "both services have every report", func() bool {
		return arrived(one, updates, wire.Downloading)() && arrived(two, updates, wire.Downloading)()
	})

	must(t, one.stop())
	updates = direct(two, "1.0.0")
	report(updates, wire.Downloading) // half of it has nobody to go to
	one.startAt(one.Addr().String(), shared("one"))
	until(t, "no report was lost", arrived(two, updates, wire.Downloading))
	must(t, two.stop())
	direct(one, "1.1.0")
}

// copied is another service on a copy of the repository with the same keys.
func (s *site) copied(t *testing.T) *site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	must(t, os.CopyFS(dir, os.DirFS(s.repo)))
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}))
	key, err := os.ReadFile(service.DefaultKeyFile(s.repo))
	must(t, err)
	must(t, os.WriteFile(service.DefaultKeyFile(dir), key, 0o600))
	return &site{t: t, repo: dir}
}

// startAt is start at an address that was had before.
func (s *site) startAt(address string, change ...func(*service.Config)) {
	s.t.Helper()
	s.start(append(change, func(c *service.Config) { c.Listen = address })...)
}
