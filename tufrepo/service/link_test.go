package service_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/remote"
	"github.com/fairlead/fairlead/tufrepo/director/remote/remotetest"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// heard is what an agent's link hands on.
type heard struct {
	directions chan []byte
	connected  chan string
	cmds       chan wire.Cmd
}

func (h heard) Direction(raw []byte)       { h.directions <- raw }
func (h heard) Cmd(c wire.Cmd)             { h.cmds <- c }
func (h heard) Connected(transport string) { h.connected <- transport }

// TestAgentLink is the agent's own link, by each of its ways: enrolled, directed, heard.
func TestAgentLink(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 10)
	for way, transports := range map[string][]string{"mqtts": {wire.TransportMQTTS}, "wss": {wire.TransportWSS}, "https": {}} {
		t.Run(way, func(t *testing.T) {
			s.linkWorks(t, token, way, func(c *link.Config) { c.Transports = transports })
		})
	}
}

// TestAgentLinkBesideMosquitto is the same with Mosquitto in the place of the embedded broker.
func TestAgentLinkBesideMosquitto(t *testing.T) {
	s := newSite(t) // makes the authority of devices
	must(t, s.stop())
	mosquitto := remotetest.Start(t, filepath.Join(service.StateDir(s.repo), "ca", "device-ca.crt"))
	s.start(func(c *service.Config) {
		c.MQTT = &remote.Config{Broker: mosquitto.URL, TLS: mosquitto.TLS("director")}
	})
	s.linkWorks(t, s.tenant("acme", 10), wire.TransportMQTTS, func(c *link.Config) {
		c.Broker = mosquitto.URL.String()
		c.Roots.AppendCertsFromPEM(mosquitto.PEM)
	})
}

// linkWorks enrols a device and has it directed and heard.
func (s *site) linkWorks(t *testing.T, token, way string, change func(*link.Config)) {
	t.Helper()
	u := s.stranger()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ServerCA())
	network := link.Network{Service: "https://" + s.Addr().String(), Roots: roots, Proxy: "none"}
	var err error
	u.resp, err = link.Enroll(context.Background(), network, u.key, wire.EnrollRequest{Claim: token, Product: repotest.Product,
		Hardware: repotest.Hardware, Serial: way})
	must(t, err)
	u.setCert(u.resp.Certificate)
	box, err := outbox.Open(t.TempDir(), outbox.Options{})
	must(t, err)
	c := link.Config{Network: network, Tenant: u.resp.Tenant, Device: u.resp.Device, Outbox: box,
		Certificate: func() (*tls.Certificate, error) { return u.cert, nil },
		Timing: link.Timing{Start: 10 * time.Millisecond, BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
			FallbackPoll: 50 * time.Millisecond, Stop: 100 * time.Millisecond}}
	change(&c)
	l, err := link.New(c)
	must(t, err)
	h := heard{make(chan []byte, 100), make(chan string, 100), make(chan wire.Cmd, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx, h) }()
	defer func() { cancel(); <-ended; l.HTTPClient().CloseIdleConnections() }()

	if d := u.verified(<-h.directions); d.Version != 1 || d.Target != nil {
		t.Errorf("first direction %+v", d)
	}
	if got := <-h.connected; got != way {
		t.Errorf("connected by %q", got)
	}
	update := s.direct("acme", "1.1.0", u)
	if d := u.verified(<-h.directions); d.Update != update {
		t.Errorf("second direction %+v", d)
	}
	l.Report(wire.Reported{Schema: 1, Time: time.Now().UTC(), State: wire.Idle, Version: "1.0.0", Direction: 2})
	for _, state := range []wire.State{wire.Downloading, wire.Rebooting, wire.RolledBack} {
		e := event(update, 0, state)
		e.Reason = "health"
		_, err := box.Append(e)
		must(t, err)
	}
	until(t, "the outbox is empty", func() bool { return box.Len() == 0 })
	var all api.Updates
	s.ask("GET", "/updates?device="+u.resp.Device, nil, &all)
	if len(all.Updates) != 1 || all.Updates[0].State != "rolled_back" || all.Updates[0].Reason != "health" {
		t.Errorf("updates %+v", all)
	}
	s.commandWorks(t, u, l, h, way)
	until(t, "the report has come", func() bool {
		var d api.Device
		s.ask("GET", "/devices/"+u.resp.Device, nil, &d)
		return d.Version == "1.0.0" && d.Accepted == 2 && strings.Contains(string(d.Reported), way)
	})
}

// commandWorks asks the device for something, which has to be answered under the number it came with.
func (s *site) commandWorks(t *testing.T, u *unit, l *link.Link, h heard, way string) {
	t.Helper()
	path := "/devices/" + u.resp.Device + "/command"
	var refused *api.Error
	for in, code := range map[string]string{"": wire.CodeBadRequest, "self-destruct": wire.CodeBadRequest} {
		if err := s.api.Do(t.Context(), "POST", path, api.Command{Command: in}, nil); !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("command %q: %v, want %s", in, err, code)
		}
	}
	if way == wire.TransportHTTPS {
		if err := s.api.Do(t.Context(), "POST", path, api.Command{Command: wire.CmdCheck}, nil); !errors.As(err, &refused) || refused.Code != wire.CodeConflict {
			t.Errorf("command to a device without MQTT: %v", err)
		}
		return
	}
	for _, name := range wire.Commands() {
		asked := make(chan wire.Cmd, 1)
		go func() {
			c := <-h.cmds
			asked <- c
			l.Reply(wire.Reply{Schema: 1, ID: "another", OK: true, Detail: "not this one"})
			l.Reply(wire.Reply{Schema: 1, ID: c.ID, OK: c.Name != wire.CmdPause, Detail: "it is " + c.Name})
		}()
		var out api.Commanded
		s.ask("POST", path, api.Command{Command: name}, &out)
		c := <-asked
		if c.Name != name || c.ID != out.ID || !c.Expires.Equal(out.Expires) || time.Until(c.Expires) > time.Minute || time.Until(c.Expires) < 30*time.Second {
			t.Errorf("%s: sent %+v, answered %+v", name, c, out)
		}
		if !out.Answered || out.OK == (name == wire.CmdPause) || out.Detail != "it is "+name {
			t.Errorf("%s: %+v", name, out)
		}
	}
	if told := s.log("acme", url.Values{"action": {"device.command"}}); len(told) < len(wire.Commands()) || told[0].Object != "device/"+u.resp.Device {
		t.Errorf("the audit log has %+v", told)
	}
}
