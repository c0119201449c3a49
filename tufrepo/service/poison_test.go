package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// What one device may say, as docs/operations.md has it.
const (
	saysAtOnce    = 300
	saysPerSecond = 5
)

// say publishes bytes, whatever they are.
func (m *mqttClient) say(topic string, payload []byte) byte {
	m.u.s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, err := m.Publish(ctx, &paho.Publish{QoS: 1, Topic: topic, Payload: payload})
	if resp == nil {
		m.u.s.t.Error(err)
		return 0xff
	}
	return resp.ReasonCode
}

// TestWrongTypes: members with other types than theirs are refused by name, over HTTPS and
// over MQTT, and the device may go on.
func TestWrongTypes(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	m := u.mqtt("mqtts")
	m.next()
	const good = `{"s":1,"epoch":"e1","seq":1,"time":"2026-01-02T03:04:05Z","update":"u","state":"downloading","product":"p","from":"1","to":"2"}`
	topic := wire.Topic(u.resp.Tenant, u.resp.Device, wire.LeafEvent)
	for _, c := range [][2]string{
		{`"s":1`, `"s":"1"`}, {`"s":1`, `"s":{}`}, {`"s":1`, `"s":1.5`}, {`"s":1`, `"s":null`},
		{`"e1"`, `["e1"]`}, {`"e1"`, `17`}, {`"seq":1`, `"seq":"1"`}, {`"seq":1`, `"seq":-1`}, {`"seq":1`, `"seq":1e99`},
		{`"seq":1`, `"seq":9223372036854775808`}, {`"seq":1`, `"seq":[[[[1]]]]`}, {`"2026-01-02T03:04:05Z"`, `1767323045`},
		{`"2026-01-02T03:04:05Z"`, `"yesterday"`}, {`"update":"u"`, `"update":true`}, {`"downloading"`, `{"state":"downloading"}`}, {`"downloading"`, `"flying"`},
		{`"p"`, `null`}, {`"to":"2"`, `"to":"2","fetched":"much"`}, {`"to":"2"`, `"to":"2","detail":{"a":1}`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s is not in the event", c[0])
		}
		if r := u.do("POST", wire.PathReports, []byte(`{"events":[`+bad+`]}`)); r.status != 400 || r.code() != wire.CodeBadRequest {
			t.Errorf("%s over HTTPS: %d %s", c[1], r.status, r.body)
		}
		if code := m.say(topic, []byte(bad)); code != 0x99 {
			t.Errorf("%s over MQTT: %#x, want payload format invalid", c[1], code)
		}
	}
	for _, body := range []string{`[]`, `"events"`, `{"events":{}}`, `{"events":[1]}`, `{"events":"many"}`, `{"reported":[]}`, `{"reported":{"s":1,"slots":{}}}`} {
		if r := u.do("POST", wire.PathReports, []byte(body)); r.status != 400 {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if code := m.say(topic, []byte(good)); code != 0 {
		t.Errorf("the device is not heard any more: %#x", code)
	}
	if n := s.events(u); n != 1 {
		t.Errorf("%d events are stored, want the good one", n)
	}
}

// TestAnotherDevicesName: neither by topic nor by an update's id does a device speak for another.
func TestAnotherDevicesName(t *testing.T) {
	s := newSite(t)
	liar := s.enrolled(s.tenant("liars", 1), "s1")
	u := s.enrolled(s.tenant("acme", 1), "s2")
	update := s.direct("acme", "1.1.0", u)
	m := liar.mqtt("mqtts")
	m.next()
	lie, err := wire.Encode(event(update, 1, wire.Committed))
	must(t, err)
	for _, topic := range []string{
		wire.Topic(u.resp.Tenant, u.resp.Device, wire.LeafEvent), wire.Topic(liar.resp.Tenant, u.resp.Device, wire.LeafEvent),
		wire.Topic(u.resp.Tenant, liar.resp.Device, wire.LeafEvent),
	} {
		if code := m.say(topic, lie); code != 0x87 {
			t.Errorf("%s: %#x, want not authorized", topic, code)
		}
	}
	if r := liar.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{event(update, 1, wire.Committed)}}); r.status != 200 {
		t.Errorf("an event of an unknown update: %d %s", r.status, r.body)
	}
	var all api.Updates
	s.ask("GET", "/updates?device="+u.resp.Device, nil, &all)
	if len(all.Updates) != 1 || all.Updates[0].State == "committed" {
		t.Errorf("somebody else's word moved an update: %+v", all.Updates)
	}
	if n := s.events(u); n != 0 {
		t.Errorf("%d events stand under the name of one that has said nothing", n)
	}
}

// TestAMillionEvents: neither in one request, nor one after the other, nor in the database.
func TestAMillionEvents(t *testing.T) {
	var ahead atomic.Int64
	s := newSite(t, func(c *service.Config) {
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	u := s.enrolled(s.tenant("acme", 1), "s1")
	if r := u.do("POST", wire.PathReports, []byte(`{"events":[`+strings.Repeat("{},", 1_000_000)+`{}]}`)); r.status != 413 {
		t.Errorf("a million in one request: %d %.200s", r.status, r.body)
	}
	if r := u.do("POST", wire.PathReports, []byte(`{"events":[`+strings.Repeat("{},", wire.MaxEvents)+`{}]}`)); r.status != 400 {
		t.Errorf("one more than may come together: %d %.200s", r.status, r.body)
	}
	begin, seq := time.Now(), int64(0)
	more := func() int {
		var out wire.Reports
		for i := range int64(wire.MaxEvents) {
			out.Events = append(out.Events, event("u", seq+i+1, wire.Downloading))
		}
		r := u.do("POST", wire.PathReports, out)
		switch {
		case r.status == 200:
			seq += wire.MaxEvents
		case r.status != 429 || r.code() != wire.CodeBusy || r.header.Get("Retry-After") == "":
			t.Errorf("too many: %d %s", r.status, r.body)
		}
		return r.status
	}
	for range 50 {
		more()
	}
	if most := saysAtOnce + saysPerSecond*int64(time.Since(begin)/time.Second+1); seq == 0 || seq > most {
		t.Errorf("%d events were taken at once, more than %d", seq, most)
	}
	// One that has the patience: as much as it likes, but only the newest stay.
	for range 25 {
		ahead.Add(int64(time.Minute))
		if status := more(); status != 200 {
			t.Fatalf("after a minute of rest: %d", status)
		}
	}
	if n := s.events(u); seq < 1800 || n > 1000+saysAtOnce || n < 1000 {
		t.Errorf("of %d events %d are kept, want about 1000", seq, n)
	}
}

// TestChattyTenant: while the devices of one tenant say without end what they may and may not,
// those of another are heard each time, and directed.
func TestChattyTenant(t *testing.T) {
	s := newSite(t)
	loud, calm := s.tenant("loud", 4), s.tenant("calm", 1)
	u := s.enrolled(calm, "c1")
	m := u.mqtt("mqtts")
	m.next()
	stop, refused := make(chan struct{}), &atomic.Int64{}
	var all sync.WaitGroup
	silence := sync.OnceFunc(func() { close(stop); all.Wait() })
	t.Cleanup(silence)
	for i := range 4 {
		noise := s.enrolled(loud, fmt.Sprint("l", i))
		nm := noise.mqtt("mqtts")
		all.Go(func() { chatter(nm, i, stop, refused) })
	}
	until(t, "the noise is too loud", func() bool { return refused.Load() > 100 })
	for seq := int64(1); seq <= 40; seq += 2 {
		if code := m.publish(wire.LeafEvent, event("u", seq, wire.Downloading)); code != 0 {
			t.Errorf("event %d over MQTT: %#x", seq, code)
		}
		if r := u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{event("u", seq+1, wire.Downloading)}}); r.status != 200 {
			t.Errorf("event %d over HTTPS: %d %s", seq+1, r.status, r.body)
		}
	}
	update := s.direct("calm", "1.1.0", u)
	if v, got, _ := m.next(); v != 2 || got != update {
		t.Errorf("directed to %q with version %d, want %q", got, v, update)
	}
	before := refused.Load()
	until(t, "the noise has ended by itself", func() bool { return refused.Load() > before })
	silence()
	if n := s.events(u); n != 40 {
		t.Errorf("%d events are stored, 40 were acknowledged", n)
	}
}

// chatter says something until stop: an event in turn with what is none. It counts the events that are refused: nothing is
// wrong with them but their number.
func chatter(m *mqttClient, who int, stop <-chan struct{}, refused *atomic.Int64) {
	topic := wire.Topic(m.u.resp.Tenant, m.u.resp.Device, wire.LeafEvent)
	for seq := int64(1); ; seq++ {
		select {
		case <-stop:
			return
		default:
		}
		e := event("u", seq, wire.Downloading)
		e.Epoch = fmt.Sprint("e", who)
		b, err := wire.Encode(e)
		if err != nil {
			m.u.s.t.Error(err)
			return
		}
		if seq%2 == 0 {
			b = []byte(strings.Repeat("[", wire.MaxEvent))
		}
		if m.say(topic, b) != 0 && seq%2 != 0 {
			refused.Add(1)
		}
	}
}
