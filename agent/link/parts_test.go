package link

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

func TestBackoff(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		b := backoff{min: 2 * time.Second, max: 10 * time.Minute, rand: func() float64 { return random }}
		var got []time.Duration
		for range 70 {
			got = append(got, b.next())
		}
		bounds := []time.Duration{20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 320 * time.Second, 10 * time.Minute}
		for i, d := range got {
			bound := bounds[min(i, len(bounds)-1)]
			want := 2*time.Second + time.Duration(random*float64(bound-2*time.Second))
			if d != want {
				t.Fatalf("wait %d is %v, not %v", i, d, want)
			}
		}
		b.reset()
		if d := b.next(); d != got[0] {
			t.Errorf("after a success it waits %v", d)
		}
	}
}

func TestBackoffWithALowCap(t *testing.T) {
	b := backoff{min: time.Minute, max: time.Second, rand: func() float64 { return 1 }}
	if d := b.next(); d != time.Minute {
		t.Errorf("it waits %v", d)
	}
}

func TestWar(t *testing.T) {
	at := func(minutes ...int) (war_ bool) {
		var w war
		for _, m := range minutes {
			war_ = w.takeover(time.Unix(0, 0).Add(time.Duration(m) * time.Minute))
		}
		return war_
	}
	for want, list := range map[bool][][]int{
		true:  {{0, 1, 2}, {0, 5, 10}, {0, 60, 61, 62}, {0, 1, 2, 3}},
		false: {{0}, {0, 1}, {0, 5, 11}, {0, 1, 60}, {0, 1, 60, 61}},
	} {
		for _, minutes := range list {
			if at(minutes...) != want {
				t.Errorf("takeovers at minutes %v: war should be %v", minutes, want)
			}
		}
	}
}

func TestLadder(t *testing.T) {
	l := ladder{rungs: []string{"a", "b", "c"}}
	for good, want := range map[string][]string{"a": {"a", "b", "c"}, "b": {"b", "a", "c"}, "c": {"c", "a", "b"}} {
		l.worked(good)
		got := []string{l.choice(0), l.choice(1), l.choice(2)}
		if !slices.Equal(got, want) {
			t.Errorf("after %s comes %v", good, got)
		}
	}
}

func TestThrottle(t *testing.T) {
	step := func(after time.Duration, state wire.State, done int64, pass bool) func(*throttle, *time.Time) error {
		return func(th *throttle, now *time.Time) error {
			*now = now.Add(after)
			if got := th.pass(wire.Progress{Update: "u", State: state, Done: done, Total: 1000}, *now); got != pass {
				return fmt.Errorf("%s %d after %v: %v", state, done, after, got)
			}
			return nil
		}
	}
	var th throttle
	now := time.Unix(0, 0)
	for _, s := range []func(*throttle, *time.Time) error{
		step(0, wire.Downloading, 0, true),
		step(time.Second, wire.Downloading, 500, false),    // soon
		step(9*time.Second, wire.Downloading, 500, true),   // 10 s and much
		step(10*time.Second, wire.Downloading, 549, false), // little
		step(19*time.Second, wire.Downloading, 549, false),
		step(time.Second, wire.Downloading, 501, true),    // 30 s and something
		step(time.Hour, wire.Downloading, 501, false),     // nothing
		step(time.Second, wire.Downloading, 551, true),    // much at last
		step(0, wire.Installing, 551, true),               // another state
		step(time.Millisecond, wire.Installing, 1, false), // soon
	} {
		if err := s(&th, &now); err != nil {
			t.Error(err)
		}
	}
}

func TestPendingKeepsTheNewest(t *testing.T) {
	var p pending
	if r, _ := p.due(); r != nil {
		t.Error("something is due at first")
	}
	p.again()
	if r, _ := p.due(); r != nil {
		t.Error("something is due without a report")
	}
	p.report(wire.Reported{State: wire.Idle})
	_, old := p.due()
	p.report(wire.Reported{State: wire.Trying})
	p.delivered(old)
	r, version := p.due()
	if r == nil || r.State != wire.Trying {
		t.Fatalf("due is %+v", r)
	}
	p.delivered(version)
	if r, _ := p.due(); r != nil {
		t.Error("a delivered report is due")
	}
	p.again()
	if r, _ := p.due(); r == nil {
		t.Error("a new connection gets no report")
	}
}

func TestRepliesAreBounded(t *testing.T) {
	var p pending
	for i := range 20 {
		p.reply(wire.Reply{ID: fmt.Sprint(i)})
	}
	for i := 4; i < 20; i++ {
		r, ok := p.nextReply()
		if !ok || r.ID != fmt.Sprint(i) {
			t.Fatalf("reply %d is %+v", i, r)
		}
		p.answered(r)
		p.answered(r)
	}
	if _, ok := p.nextReply(); ok {
		t.Error("one is left")
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "90": 90 * time.Second, "3600": time.Hour, "3601": time.Hour,
		"99999999999999999999": 0, "9223372036854775807": time.Hour, "soon": 0,
		"Sun, 22 Nov 2026 12:10:00 GMT": 10 * time.Minute, "Sun, 22 Nov 2026 11:00:00 GMT": 0,
		"Mon, 22 Nov 2027 12:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q means %v, not %v", text, got, want)
		}
	}
}

func TestRandomWaits(t *testing.T) {
	for random, want := range map[float64][2]time.Duration{0: {80, 0}, 0.5: {100, 50}, 1: {120, 100}} {
		r := func() float64 { return random }
		if a, w := around(100, r), within(100, r); a != want[0] || w != want[1] {
			t.Errorf("%v: around %v, within %v", random, a, w)
		}
	}
}

func TestRefusedUpgrade(t *testing.T) {
	for status, want := range map[int]string{302: ClassCaptive, 200: ClassCaptive, 401: ClassIdentity, 403: ClassIdentity,
		404: ClassUnavailable, 429: ClassUnavailable, 502: ClassUnavailable} {
		err := refusedUpgrade(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"60"}}}, time.Unix(0, 0))
		if class(err) != want || after(err) != time.Minute {
			t.Errorf("%d is %s, after %v", status, class(err), after(err))
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 22 Nov 2026 12:10:00 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if got := retryAfter(http.Header{"Retry-After": {text}}, time.Unix(1e9, 0)); got < 0 || got > maxAfter {
			t.Errorf("%q means %v", text, got)
		}
	})
}

// A connection that is lost before the keeper knows of it leaves nobody who would make the next one.
func TestLostBeforeItWasNoted(t *testing.T) {
	ca := newAuthority(t, "ca")
	cfg := config(t, newService(t, ca), ca)
	cfg.Now = time.Now
	s := &session{cfg: cfg, changed: func() {}, trouble: map[string]bool{}}
	k := &keeper{s: s}
	for _, lost := range []bool{true, false} {
		if _, err := s.connectPacket(60); err != nil {
			t.Fatal(err)
		}
		if again := k.took(&kept{lost: lost}); again != lost {
			t.Errorf("lost %v: another one is made: %v", lost, again)
		}
	}
}
