package director_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

func TestEveryDeviceHasADirection(t *testing.T) {
	s := newSite(t)
	d := s.direction(s.enrolled(s.tenant("acme", 1), "s1"))
	if d.Version != 1 || d.Target != nil || d.Update != "" || d.Hardware != "base-unit-1" {
		t.Errorf("first direction %+v", d)
	}
}

func TestDirect(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 9), "s1")
	stranger := s.enrolled(s.tenant("globex", 9), "s2")
	must(t, s.say(id, wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.1.0", Counter: 2}))

	for _, c := range []struct {
		release, device string
		refused         string
	}{
		{"base/1.1.0", id.Device, ""},
		{"base/1.0.0", id.Device, director.RefusedOlder},
		{"camera/1.0", id.Device, director.RefusedProduct},
		{"base/1.2.0b", id.Device, director.RefusedHardware},
		{"base/1.1.0", stranger.Device, director.RefusedNotFound},
		{"base/1.1.0", "nobody", director.RefusedNotFound},
	} {
		for _, force := range []bool{false, true} {
			product, version, _ := strings.Cut(c.release, "/")
			o := director.Order{Tenant: "acme", Product: product, Version: version, Devices: []string{c.device}, Force: force}
			got := s.order(o)[0]
			want := c.refused
			if force && want != director.RefusedNotFound {
				want = ""
			}
			if got.Refused != want {
				t.Errorf("%s to %s, force %v: %+v, want %q", c.release, c.device, force, got, want)
			}
			if want == "" {
				d := s.direction(id)
				if d.Target == nil || d.Target.Path != c.release+".json" || d.Update != got.Update || d.Version != got.Version {
					t.Errorf("%s, force %v: direction %+v, outcome %+v", c.release, force, d, got)
				}
			}
		}
	}
	if d := s.direction(stranger); d.Version != 1 {
		t.Errorf("another tenant's device was directed: %+v", d)
	}

	got := s.order(director.Order{Tenant: "acme", Devices: []string{id.Device}})[0]
	if d := s.direction(id); d.Target != nil || d.Version != got.Version || got.Update != "" {
		t.Errorf("nothing: %+v", d)
	}
	for what, o := range map[string]director.Order{
		"unknown release":  {Tenant: "acme", Product: "base", Version: "9", All: true},
		"unknown tenant":   {Tenant: "x", Product: "base", Version: "1.1.0", All: true},
		"nobody named":     {Tenant: "acme", Product: "base", Version: "1.1.0"},
		"all and one more": {Tenant: "acme", Product: "base", Version: "1.1.0", All: true, Devices: []string{id.Device}},
	} {
		if out, err := s.Direct(ctx, o); code(err) == "" {
			t.Errorf("%s: %v, %v", what, out, err)
		}
	}
}

func TestDirectAll(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 50)
	var ids []director.Identity
	for i := range 20 {
		ids = append(ids, s.enrolled(token, fmt.Sprint("s", i)))
	}
	gone := ids[0]
	must(t, s.Revoke(ctx, gone.Device))
	if got := s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true}); len(got) != 19 {
		t.Fatalf("%d outcomes, want 19", len(got))
	}
	updates := map[string]bool{}
	for _, id := range ids[1:] {
		d := s.direction(id)
		if d.Target == nil || updates[d.Update] || s.told[id.Device] != 1 {
			t.Errorf("device %s: %+v, told %d times", id.Device, d, s.told[id.Device])
		}
		updates[d.Update] = true
	}
	if s.told[gone.Device] != 0 {
		t.Error("a revoked device was directed")
	}
}

func TestVersionGrowsAcrossRestarts(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	last := s.direction(id).Version
	for i := range 5 {
		s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true})
		if v := s.direction(id).Version; v != last+1 {
			t.Fatalf("order %d: version %d after %d", i, v, last)
		}
		last++
		s.start()
	}
}

func TestReissue(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true})
	first := s.direction(id)
	for _, step := range []struct {
		pass time.Duration
		n    int
	}{{director.Lifetime/2 - time.Hour, 0}, {2 * time.Hour, 1}, {time.Hour, 0}, {director.Lifetime, 1}} {
		s.pass(step.pass)
		n, err := s.Reissue(ctx)
		if err != nil || n != step.n {
			t.Fatalf("after another %s: %d issued anew, %v; want %d", step.pass, n, err, step.n)
		}
	}
	d := s.direction(id)
	if d.Version != first.Version+2 || d.Update != first.Update || *d.Target != *first.Target || !d.Expires.After(first.Expires) {
		t.Errorf("issued anew %+v, first %+v", d, first)
	}
	if s.told[id.Device] != 3 {
		t.Errorf("told %d times", s.told[id.Device])
	}
	must(t, s.Revoke(ctx, id.Device))
	s.pass(director.Lifetime)
	if n, err := s.Reissue(ctx); n != 0 || err != nil {
		t.Errorf("a revoked device: %d, %v", n, err)
	}
}

// TestDatabaseFromTheBackup: the device has accepted more than the database knows.
func TestDatabaseFromTheBackup(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true})
	before := s.direction(id)
	report := func(accepted int64) {
		must(t, s.say(id, wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Direction: accepted}))
	}
	report(before.Version)
	if d := s.direction(id); d.Version != before.Version {
		t.Errorf("an ordinary report has changed the direction: %+v", d)
	}
	report(40)
	if d := s.direction(id); d.Version != 41 || d.Update != before.Update {
		t.Errorf("after a report of version 40: %+v", d)
	}
	report(1 << 53)
	if d := s.direction(id); d.Version != 41 {
		t.Errorf("an absurd report has changed the direction: %+v", d)
	}
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true})
	if d := s.direction(id); d.Version != 42 {
		t.Errorf("after an absurd report the next is %+v", d)
	}
}

func TestUpdatesFollowEvents(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	id, other := s.enrolled(token, "s1"), s.enrolled(token, "s2")
	update := s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", Devices: []string{id.Device}})[0].Update

	for _, step := range []struct {
		what string
		by   director.Identity
		e    wire.Event
		want wire.State
	}{
		{"first", id, event(update, 1, wire.Downloading), wire.Downloading},
		{"another device", other, event(update, 9, wire.Failed), wire.Downloading},
		{"later", id, event(update, 3, wire.Rebooting), wire.Rebooting},
		{"late arrival", id, event(update, 2, wire.Installing), wire.Rebooting},
		{"again", id, event(update, 3, wire.Rebooting), wire.Rebooting},
		{"end", id, event(update, 4, wire.Committed), wire.Committed},
		{"after the end", id, event(update, 5, wire.Failed), wire.Committed},
		{"no such update", id, event("unknown", 6, wire.Failed), wire.Committed},
	} {
		must(t, s.say(step.by, wire.LeafEvent, step.e))
		if u := s.storedUpdate(update); u.State != string(step.want) {
			t.Fatalf("%s: state %s, want %s", step.what, u.State, step.want)
		}
	}
	u := s.storedUpdate(update)
	if u.Previous != "1.0.0" || u.Version != "1.1.0" || u.Fetched != 400 || u.Millis != 4000 {
		t.Errorf("update %+v", u)
	}
	if n := s.Stats().Duplicates.Load(); n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
}

func TestReportsOverHTTPS(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	r := wire.Reports{Events: []wire.Event{event("u", 1, wire.Downloading), event("u", 2, wire.Installing)},
		Reported: &wire.Reported{Schema: 1, Time: s.clock(), State: wire.Installing, Version: "1.0.0"}}
	for range 2 {
		ack, err := s.Reports(ctx, id, r)
		if err != nil || ack.Seq != 2 {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
	must(t, s.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Events(id.Device, 10)
		dev, err2 := tx.Device(id.Device)
		if len(all) != 2 || dev.Version != "1.0.0" || !dev.Seen.Equal(s.clock()) || err2 != nil {
			t.Errorf("%d events, device %+v, %v", len(all), dev, err2)
		}
		return err
	}))
}

func TestPoison(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	huge := make([]byte, 200<<10)
	for what, m := range map[string][2]string{
		"not json":        {wire.LeafEvent, "\x00\xff"},
		"huge":            {wire.LeafReported, string(huge)},
		"null":            {wire.LeafReported, "null"},
		"doubled member":  {wire.LeafPresence, `{"s":1,"s":1,"online":true,"nonce":"n","time":"2026-01-01T00:00:00Z"}`},
		"another schema":  {wire.LeafPresence, `{"s":2,"online":true,"nonce":"n","time":"2026-01-01T00:00:00Z"}`},
		"unknown leaf":    {"telemetry", `{}`},
		"down leaf":       {wire.LeafDirection, `{}`},
		"control in text": {wire.LeafReply, `{"s":1,"id":"a","ok":true,"detail":"\u001b[2J"}`},
	} {
		if err := s.say(id, m[0], m[1]); code(err) != wire.CodeBadRequest {
			t.Errorf("%s: %v, want bad_request", what, err)
		}
	}
}

// TestChattyDevice: one device that talks without end is stopped, keeps a bounded number of
// events, and takes nothing from another.
func TestChattyDevice(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	loud, quiet := s.enrolled(token, "s1"), s.enrolled(token, "s2")
	var busy int
	for seq := int64(1); seq <= 400; seq++ {
		if err := s.say(loud, wire.LeafEvent, event("u", seq, wire.Downloading)); code(err) == wire.CodeBusy {
			busy++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if busy != 100 {
		t.Errorf("%d of 400 at once were refused, want 100", busy)
	}
	must(t, s.say(quiet, wire.LeafEvent, event("u", 1, wire.Downloading)))
	for seq := int64(1000); seq < 3000; seq += wire.MaxEvents {
		s.pass(time.Minute)
		var r wire.Reports
		for i := range int64(wire.MaxEvents) {
			r.Events = append(r.Events, event("u", seq+i, wire.Downloading))
		}
		_, err := s.Reports(ctx, loud, r)
		must(t, err)
	}
	must(t, s.Store.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Events(loud.Device, 1<<20)
		if len(all) < 1000 || len(all) > 1300 {
			t.Errorf("%d events are kept", len(all))
		}
		return err
	}))
}

func TestProgressIsKeptInMemory(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	must(t, s.say(id, wire.LeafProgress, wire.Progress{Schema: 1, Update: "u", State: wire.Downloading, Done: 5, Total: 10}))
	if p := s.Progress(id.Device); p == nil || p.Done != 5 {
		t.Errorf("progress %+v", p)
	}
}
