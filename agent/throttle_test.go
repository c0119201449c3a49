package agent

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/outbox"
	"github.com/fairlead/fairlead/agent/wire"
)

// TestPauseCommand: the service may hold back what this device fetches, and let it go on.
func TestPauseCommand(t *testing.T) {
	out, err := outbox.Open(t.TempDir(), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	up := &uplink{}
	up.link, err = link.New(link.Config{
		Network: link.Network{Service: "https://service.test", Proxy: "none"}, Tenant: "acme", Device: "d1", Outbox: out,
		Certificate: func() (*tls.Certificate, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{session: &session{Agent: &Agent{o: Options{}.withDefaults()}, m: &machine{state: state{State: wire.Idle}}}}
	var line string
	l.o.Notify.Status = func(s string) { line = s }
	for i, c := range []struct {
		name, line string
		paused     bool
	}{{wire.CmdPause, "idle, paused", true}, {wire.CmdPause, "idle, paused", true}, {wire.CmdResume, "idle", false}} {
		l.obey(up, wire.Cmd{Schema: wire.Schema, ID: fmt.Sprint("c", i), Name: c.name, Expires: time.Now().Add(time.Hour)})
		if l.throttle.Paused() != c.paused || line != c.line {
			t.Errorf("after %s: paused %v, status %q", c.name, l.throttle.Paused(), line)
		}
	}
}
