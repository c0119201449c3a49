package link

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/wire"
)

const hello = `{"signed":{"version":1}}`

// transports are the ways of the ladder, each as a configuration that leaves no other.
var transports = map[string][]string{
	wire.TransportMQTTS: {wire.TransportMQTTS}, wire.TransportWSS: {wire.TransportWSS}, wire.TransportHTTPS: {}}

func TestEveryTransportCarriesEverything(t *testing.T) {
	ca := newAuthority(t, "ca")
	for transport, only := range transports {
		t.Run(transport, func(t *testing.T) {
			s := newService(t, ca)
			s.direct(hello)
			cfg := config(t, s, ca)
			cfg.Transports = only
			d := start(t, s.scene, cfg)
			d.link.Report(status(wire.Idle))
			d.happen("step", 100)
			d.until(t, "the direction", func() bool { return len(d.directions) > 0 && d.directions[0] == hello })
			d.until(t, "all events", func() bool { return len(s.stored) == 100 })
			d.until(t, "the report", func() bool {
				return len(s.reported) > 0 && reflect.DeepEqual(s.reported[0].Link, &wire.LinkStatus{Transport: transport})
			})
			d.until(t, "the transport", d.over(transport))
			if got := d.link.Status(); got.Transport != transport || got.LastError != "" {
				t.Errorf("the status is %+v", got)
			}
		})
	}
}

func TestCommandsAndReplies(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	d := start(t, s.scene, config(t, s, ca))
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	for _, bad := range []string{``, `{}`, `{"s":2,"id":"c0","name":"ping","expires":"2089-01-01T00:00:00Z"}`,
		`{"s":1,"id":"late","name":"ping","expires":"2001-01-01T00:00:00Z"}`} {
		s.publish(wire.LeafCmd, bad, false)
	}
	s.publish(wire.LeafDirection, strings.Repeat("x", wire.MaxDirection+1), false)
	s.publish(wire.LeafDirection, "", false)
	s.publish(wire.LeafCmd, `{"s":1,"id":"c1","name":"ping","expires":"2089-01-01T00:00:00Z"}`, false)
	d.until(t, "the command", func() bool { return len(d.cmds) > 0 })
	if len(d.cmds) != 1 || d.cmds[0].ID != "c1" || len(d.directions) != 0 {
		t.Errorf("got %v and %v", d.cmds, d.directions)
	}
	want := wire.Reply{Schema: 1, ID: "c1", OK: true, Detail: "pong"}
	d.link.Reply(want)
	d.until(t, "the reply", func() bool { return slices.Equal(s.replies, []wire.Reply{want}) })
}

// The broker dies with everything it knew, again and again, while things happen.
func TestBrokerKilledAndRestarted(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.direct(hello)
	cfg := config(t, s, ca)
	cfg.Transports = transports[wire.TransportMQTTS]
	s.noHTTP = true
	d := start(t, s.scene, cfg)
	for round := range 4 {
		d.happen(fmt.Sprint("up", round, "-"), 20)
		d.until(t, "some events", func() bool { return len(s.stored) > 50*round+5 })
		s.stopBroker()
		d.happen(fmt.Sprint("down", round, "-"), 30)
		s.startBroker()
	}
	d.until(t, "all events", func() bool { return len(s.stored) == 200 })
	d.until(t, "the direction after each start", func() bool { return len(d.directions) >= 4 })
	d.stop()
	if n := cfg.Outbox.Len(); n != 0 {
		t.Errorf("%d events are still in the outbox", n)
	}
	names := s.updates()
	if len(names) != 200 || names[0] != "up0-0" || names[199] != "down3-29" {
		t.Errorf("%d events from %s to %s", len(names), names[0], names[len(names)-1])
	}
	if s.arrivals > 210 {
		t.Errorf("200 events arrived %d times", s.arrivals)
	}
}

func TestLadderDownAndBlockedSaidSo(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.direct(hello)
	s.noMQTT = true
	d := start(t, s.scene, config(t, s, ca))
	d.link.Report(status(wire.Idle))
	d.until(t, "WebSocket", d.over(wire.TransportWSS))
	s.do(func() { s.noWebSocket = true })
	s.cut()
	d.until(t, "HTTPS", d.over(wire.TransportHTTPS))
	d.happen("blocked", 3)
	d.until(t, "the events", func() bool { return len(s.stored) == 3 })
	want := &wire.LinkStatus{Transport: wire.TransportHTTPS, Trouble: []string{wire.TroubleBlocked}}
	d.until(t, "the trouble", func() bool { return reflect.DeepEqual(s.lastLink(), want) })
	if got := d.link.Status(); !slices.Equal(got.Trouble, want.Trouble) || got.LastError == "" {
		t.Errorf("the status is %+v", got)
	}
	s.do(func() { s.noMQTT = false })
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	want = &wire.LinkStatus{Transport: wire.TransportMQTTS}
	d.until(t, "no trouble", func() bool { return reflect.DeepEqual(s.lastLink(), want) })
	if want := []string{"wss", "", "https", "", "mqtts"}; !slices.Equal(without(d.connected, "https", ""), without(want, "https", "")) {
		t.Errorf("transports were %v", d.connected)
	}
}

func without(list []string, words ...string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(words, s) })
}

func TestPresence(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	d := start(t, s.scene, config(t, s, ca))
	d.until(t, "online", func() bool { return len(s.presence) == 1 && s.presence[0].Online })
	d.until(t, "and acknowledged", d.over(wire.TransportMQTTS))
	s.cut()
	d.until(t, "online again", func() bool { return len(s.presence) == 2 && s.presence[1].Online })
	d.stop()
	d.until(t, "offline", func() bool { return len(s.presence) == 3 && !s.presence[2].Online })
	nonces := []string{s.presence[0].Nonce, s.presence[1].Nonce, s.presence[2].Nonce}
	if nonces[0] == nonces[1] || nonces[1] != nonces[2] {
		t.Errorf("the nonces are %v", nonces)
	}
	for i, will := range s.wills {
		p, err := wire.DecodePresence(will.Payload)
		if err != nil || p.Online || p.Nonce != nonces[i] || !will.Retain || will.Qos != 1 ||
			will.TopicName != "fw/v1/acme/d1/presence" || will.WillDelayInterval != willDelay {
			t.Errorf("the will is %+v %+v %v", p, will, err)
		}
	}
	if slices.Contains(s.clean, true) {
		t.Error("the session was thrown away without need")
	}
}

// What is in the outbox when the agent is told to stop goes out first.
func TestStopSaysWhatIsLeft(t *testing.T) {
	ca := newAuthority(t, "ca")
	for transport, only := range transports {
		s := newService(t, ca)
		cfg := config(t, s, ca)
		cfg.Transports = only
		d := start(t, s.scene, cfg)
		d.until(t, transport, d.over(transport))
		d.happen("last", 5)
		d.stop()
		if got := len(s.stored); got != 5 {
			t.Errorf("%s: %d of 5 events arrived", transport, got)
		}
	}
}

func TestProgressIsSentAndThrottled(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	d := start(t, s.scene, config(t, s, ca))
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	for i := range int64(100) {
		d.link.Progress(wire.Progress{Schema: 1, Update: "u", State: wire.Downloading, Done: i, Total: 100})
	}
	d.link.Progress(wire.Progress{Schema: 1, Update: "u", State: wire.Installing, Done: 0, Total: 100})
	d.until(t, "the last one", func() bool { return len(s.progress) > 0 && s.progress[len(s.progress)-1].State == wire.Installing })
	if len(s.progress) > 2 {
		t.Errorf("%d were sent", len(s.progress))
	}
}

// A poll asks with the ETag; a new direction comes by it even while the broker is mute.
func TestPollUsesETag(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	cfg := config(t, s, ca)
	cfg.Transports = []string{}
	d := start(t, s.scene, cfg)
	d.until(t, "a poll that finds nothing", func() bool { return len(s.asked) > 1 })
	if len(d.directions) != 0 {
		t.Error("nothing became a direction")
	}
	s.direct(hello)
	d.until(t, "the direction", func() bool { return len(d.directions) == 1 })
	d.until(t, "polls with its ETag", func() bool { return slices.Contains(s.asked, s.etag) })
	again := strings.Replace(hello, "}}", ` }}`, 1)
	s.direct(again)
	d.until(t, "the new one", func() bool { return len(d.directions) == 2 && d.directions[1] == again })
}

func TestPollOnDemandBesideMQTT(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	d := start(t, s.scene, config(t, s, ca))
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	s.do(func() { s.direction, s.etag = hello, `"x"` }) // the broker does not know of it
	d.link.Poll()
	d.until(t, "the direction", func() bool { return slices.Equal(d.directions, []string{hello}) })
	raw, err := d.link.Direction(t.Context())
	if err != nil || string(raw) != hello {
		t.Errorf("asked once: %q, %v", raw, err)
	}
}

// One message that the service will not take does not hold up the others.
func TestRefusedMessagesAreGivenUp(t *testing.T) {
	ca := newAuthority(t, "ca")
	for transport, only := range transports {
		t.Run(transport, func(t *testing.T) {
			s := newService(t, ca)
			s.refuse = func(e wire.Event) bool { return e.Update == "odd1" }
			cfg := config(t, s, ca)
			cfg.Transports = only
			d := start(t, s.scene, cfg)
			d.happen("odd", 3)
			d.link.Report(wire.Reported{Schema: 7})
			d.until(t, "the others", func() bool { return slices.Equal(s.updates(), []string{"odd0", "odd2"}) })
			d.happen("later", 1)
			d.until(t, "one more", func() bool { return len(s.stored) == 3 })
			d.link.Report(status(wire.Idle))
			d.until(t, "a good report", func() bool { return len(s.reported) > 0 })
		})
	}
}

func TestDisabledMakesNoConnection(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	cfg := config(t, s, ca)
	cfg.Disabled = true
	d := start(t, s.scene, cfg)
	d.happen("kept", 1)
	d.link.Poll()
	_, err := d.link.Direction(t.Context())
	_, err2 := d.link.HTTPClient().Get("https://service.test/")
	if err == nil || err2 == nil || class(err) != ClassUnavailable || !strings.Contains(err2.Error(), "switched off") {
		t.Errorf("got %v and %v", err, err2)
	}
	d.stop()
	if len(s.accepted) != 0 || cfg.Outbox.Len() != 1 {
		t.Errorf("%d connections, %d events kept", len(s.accepted), cfg.Outbox.Len())
	}
}

func TestNewRefuses(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	for want, change := range map[string]func(*Config){
		"is not https://":           func(c *Config) { c.Service = "http://service.test" },
		"host:port":                 func(c *Config) { c.Service = "https://service.test/path" },
		"service address":           func(c *Config) { c.Service = "https://service.test:port" },
		"no other kind":             func(c *Config) { c.Proxy = "socks5://proxy" },
		"should be http://":         func(c *Config) { c.Proxy = "http://u:secret@[proxy" },
		"is neither":                func(c *Config) { c.Transports = []string{"carrier-pigeon"} },
		"name one twice":            func(c *Config) { c.Transports = []string{"wss", "wss"} },
		"tenant or device":          func(c *Config) { c.Device = "a/b" },
		"outbox or certificate":     func(c *Config) { c.Outbox = nil },
		"or certificate is missing": func(c *Config) { c.Certificate = nil },
	} {
		cfg := config(t, s, ca)
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// The memory of a link matters where thousands live in one process.
func TestFewGoroutines(t *testing.T) {
	ca := newAuthority(t, "ca")
	s := newService(t, ca)
	s.do(func() {
		s.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	})
	before := goroutines()
	cfg := config(t, s, ca)
	d := start(t, s.scene, cfg)
	d.until(t, "MQTT", d.over(wire.TransportMQTTS))
	broker := 2
	if n := goroutines() - before - broker; n > 7 {
		t.Errorf("a link has %d goroutines", n)
	}
}
