package link

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// bubble runs a test in the time of synctest, with the timing of real devices.
func bubble(t *testing.T, test func(t *testing.T, ca *authority, s *service, cfg Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "ca")
		s := newService(t, ca)
		s.patience = 1000 * time.Hour
		cfg := config(t, s, ca)
		cfg.Timing = Timing{}
		test(t, ca, s, cfg)
	})
}

// gaps are the times between times.
func gaps(times []time.Time) (out []time.Duration) {
	for i := 1; i < len(times); i++ {
		out = append(out, times[i].Sub(times[i-1]))
	}
	return out
}

func allWithin(t *testing.T, what string, list []time.Duration, least, most time.Duration) {
	t.Helper()
	if len(list) == 0 {
		t.Errorf("%s: none", what)
		return
	}
	if slices.Min(list) < least || slices.Max(list) > most {
		t.Errorf("%s: from %v to %v, not %v to %v", what, slices.Min(list), slices.Max(list), least, most)
	}
	if len(list) > 2 && slices.Min(list) == slices.Max(list) {
		t.Errorf("%s: always %v", what, list[0])
	}
}

func TestTimetableBesideMQTT(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		cfg.Timing.Poll = 20 * time.Minute // of 6 h: the broker has a clock that ticks every second
		d := start(t, s.scene, cfg)
		d.until(t, "polls", func() bool { return len(s.askedAt) == 6 })
		d.stop()
		allWithin(t, "polls", gaps(s.askedAt), 16*time.Minute, 24*time.Minute)
		if len(s.connects) != 1 {
			t.Errorf("%d connections", len(s.connects))
		}
		if k := s.keepAlive[0]; k < 96 || k > 144 {
			t.Errorf("keepalive is %d s", k)
		}
	})
}

func TestTimetableWithoutMQTT(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		s.noMQTT, s.noWebSocket = true, true
		d := start(t, s.scene, cfg)
		d.until(t, "polls", func() bool { return len(s.askedAt) == 30 })
		d.stop()
		if first := s.askedAt[0].Sub(s.accepted[0]); first > time.Second {
			t.Errorf("the first poll came %v after MQTT was found closed", first)
		}
		allWithin(t, "polls", gaps(s.askedAt), 4*time.Minute, 6*time.Minute)
		hours := s.askedAt[29].Sub(s.askedAt[0]).Hours()
		if perHour := float64(len(s.accepted)) / hours; perHour > 60 {
			t.Errorf("%.0f connections an hour", perHour)
		}
	})
}

// After a power cut all devices begin at once.
func TestTheFirstAttemptIsAtRandom(t *testing.T) {
	for transport, only := range transports {
		bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
			began := time.Now()
			cfg.Transports = only
			cfg.Rand = func() float64 { return 0.5 }
			d := start(t, s.scene, cfg)
			d.until(t, "a connection", func() bool { return len(s.accepted) == 1 })
			d.stop()
			if wait := s.accepted[0].Sub(began); wait != 1500*time.Millisecond {
				t.Errorf("%s: the first attempt came after %v", transport, wait)
			}
		})
	}
}

// Sixty devices lose their broker at once and do not come back at once.
func TestNoHerdAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		const devices = 60
		for i := range devices {
			one := config(t, s, ca)
			one.Timing, one.Transports = Timing{}, transports[wire.TransportMQTTS]
			one.Device = fmt.Sprint("d", i)
			cert := ca.device(t, one.Device, newKey(t), someDay)
			one.Certificate = func() (*tls.Certificate, error) { return cert, nil }
			n := look(s.scene, func() int { return len(s.connects) })
			d := start(t, s.scene, one)
			d.until(t, "a connection", func() bool { return len(s.connects) > n })
		}
		n, cutAt := devices, time.Now()
		s.cut()
		s.until(t, "all are back", func() bool { return len(s.connects) >= n+devices })
		back := look(s.scene, func() []time.Time { return slices.Clone(s.connects[n:]) })
		first, last := back[0].Sub(cutAt), back[len(back)-1].Sub(cutAt)
		if first < 2*time.Second || last < 10*time.Second || last > 21*time.Second {
			t.Errorf("they came back %v to %v later", first, last)
		}
	})
}

func TestRetryAfterIsKeptAndCapped(t *testing.T) {
	for header, want := range map[string]time.Duration{"1800": 30 * time.Minute, "999999999": time.Hour, "5": 4 * time.Minute} {
		bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
			cfg.Transports = []string{}
			s.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				fail(w, http.StatusServiceUnavailable, wire.CodeUnavailable)
			}
			d := start(t, s.scene, cfg)
			d.link.Report(status(wire.Idle))
			d.until(t, "polls and posts", func() bool { return len(s.askedAt) == 4 && len(s.posts) >= 4 })
			d.stop()
			later := max(want, 8*time.Minute) // polls that fail come at twice the distance, and no more than ten minutes, give or take a fifth
			allWithin(t, "the second poll after "+header, gaps(s.askedAt)[:1], want, want*3/2)
			allWithin(t, "polls after "+header, gaps(s.askedAt)[1:], later, later*3/2)
			if least := min(want, 5*time.Second); slices.Min(gaps(s.posts)) < least {
				t.Errorf("posts came %v apart", gaps(s.posts))
			}
		})
	}
}

// A service that answers again is asked as often as before.
func TestPollsThatFailComeLater(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		cfg.Transports = []string{}
		s.answer = func(w http.ResponseWriter, _ *http.Request) {
			if len(s.askedAt) < 5 {
				fail(w, http.StatusServiceUnavailable, wire.CodeUnavailable)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
		d := start(t, s.scene, cfg)
		d.until(t, "polls", func() bool { return len(s.askedAt) == 9 })
		d.stop()
		allWithin(t, "the second poll", gaps(s.askedAt)[:1], 4*time.Minute, 6*time.Minute)
		allWithin(t, "polls that fail", gaps(s.askedAt)[1:4], 8*time.Minute, 12*time.Minute)
		allWithin(t, "polls that do not", gaps(s.askedAt)[4:], 4*time.Minute, 6*time.Minute)
	})
}

// Two devices with one identity fight; it must cost little and be told.
func TestCloneWar(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		clone := config(t, s, ca)
		clone.Timing = Timing{}
		one, two := start(t, s.scene, cfg), start(t, s.scene, clone)
		one.link.Report(status(wire.Idle))
		two.link.Report(status(wire.Trying))
		told := map[wire.State]bool{}
		s.until(t, "both tell", func() bool {
			for _, r := range s.reported {
				if slices.Contains(r.Link.Trouble, wire.TroubleDuplicate) {
					told[r.State] = true
				}
			}
			return len(told) > 0
		})
		count := func() int { return len(s.connects) }
		began, n := time.Now(), look(s.scene, count)
		time.Sleep(100 * time.Minute) // fake
		if fights := look(s.scene, count) - n; fights > 25 {
			t.Errorf("%d connections in %v", fights, time.Since(began))
		}
	})
}

// A broker that does not know the device is left alone, and the service hears of it.
func TestRefusedIdentity(t *testing.T) {
	for reason, least := range map[byte]time.Duration{0x87: 8 * time.Minute, 0x8a: 8 * time.Minute, 0x97: 48 * time.Second} {
		bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
			s.denied = reason
			cfg.Transports = transports[wire.TransportMQTTS]
			d := start(t, s.scene, cfg)
			d.link.Report(status(wire.Idle))
			d.until(t, "some attempts", func() bool { return len(s.connects) == 5 })
			allWithin(t, "attempts", gaps(look(s.scene, func() []time.Time { return slices.Clone(s.connects) })), least, 25*time.Minute)
			refused := slices.Contains(d.link.Status().Trouble, wire.TroubleRefused)
			told := slices.ContainsFunc(look(s.scene, func() []wire.Reported { return slices.Clone(s.reported) }), func(r wire.Reported) bool {
				return slices.Contains(r.Link.Trouble, wire.TroubleRefused)
			})
			if isRefusal := reason != 0x97; refused != isRefusal || told != isRefusal {
				t.Errorf("reason 0x%02x: trouble %v, told %v", reason, refused, told)
			}
			s.do(func() { s.denied = 0 })
			d.until(t, "MQTT", d.over(wire.TransportMQTTS))
		})
	}
}

func TestClimbsBack(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		s.noMQTT = true
		cfg.Timing.Climb = 30 * time.Minute
		d := start(t, s.scene, cfg)
		d.until(t, "WebSocket", d.over(wire.TransportWSS))
		time.Sleep(2 * time.Hour) // fake: it looks, and stays
		if look(s.scene, func() int { return len(s.connects) }) != 1 {
			t.Errorf("%d connections while nothing better was open", len(s.connects))
		}
		s.do(func() { s.noMQTT = false })
		opened := time.Now()
		d.until(t, "MQTT", d.over(wire.TransportMQTTS))
		if wait := time.Since(opened); wait > 38*time.Minute {
			t.Errorf("it took %v", wait)
		}
		s.cut()
		d.until(t, "MQTT again at once", d.over(wire.TransportMQTTS))
	})
}

// The other end falls silent without closing anything.
func TestSilentDeath(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		cfg.Transports = transports[wire.TransportMQTTS]
		hole := &blackHole{dial: s.dial}
		cfg.Dial = hole.Dial
		d := start(t, s.scene, cfg)
		d.until(t, "MQTT", d.over(wire.TransportMQTTS))
		died := time.Now()
		hole.swallow()
		d.until(t, "MQTT again", func() bool { return len(s.connects) == 2 })
		if wait := time.Since(died); wait > 6*time.Minute {
			t.Errorf("it was noticed after %v", wait)
		}
	})
}

// A broker that takes everything and acknowledges nothing loses the connection, and the
// library's copies of what it did not acknowledge are thrown away.
func TestMuteBroker(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		cfg.Transports = transports[wire.TransportMQTTS]
		d := start(t, s.scene, cfg)
		d.until(t, "MQTT", d.over(wire.TransportMQTTS))
		release := make(chan struct{})
		s.do(func() { s.refuse = func(wire.Event) bool { s.mu.Unlock(); <-release; s.mu.Lock(); return false } })
		d.happen("slow", 1)
		began := time.Now()
		d.until(t, "a new connection", func() bool { return len(s.connects) == 2 })
		if wait := time.Since(began); wait > time.Minute {
			t.Errorf("it took %v", wait)
		}
		close(release)
		s.do(func() { s.refuse = nil })
		d.until(t, "the event once more", func() bool { return s.arrivals == 2 })
		d.stop()
		if n := cfg.Outbox.Len(); n != 0 {
			t.Errorf("%d events are still in the outbox", n)
		}
		if !slices.Equal(s.clean, []bool{false, true}) {
			t.Errorf("clean starts were %v", s.clean)
		}
	})
}

// An acknowledgement of nothing must not become a busy loop, nor lose the events.
func TestServiceThatStoresNothing(t *testing.T) {
	bubble(t, func(t *testing.T, ca *authority, s *service, cfg Config) {
		s.answer = func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"seq":0}`) }
		cfg.Transports = transports[wire.TransportHTTPS]
		d := start(t, s.scene, cfg)
		d.happen("kept", 2)
		d.until(t, "some tries", func() bool { return len(s.posts) == 5 })
		s.do(func() { s.answer = nil })
		d.until(t, "the events", func() bool { return len(s.stored) == 2 })
		d.stop()
		allWithin(t, "tries", gaps(s.posts), 2*time.Second, 6*time.Minute)
	})
}
