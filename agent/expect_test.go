package agent_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/firmware"
)

// holdRole keeps the product's role from a device until it has asked for a blob, or for as long as most. It says whether it
// had asked.
func holdRole(site *agenttest.Site, most time.Duration) (asked func() bool) {
	blob := make(chan struct{})
	var once sync.Once
	inner := site.Server.Config.Handler
	site.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/blobs/") {
			once.Do(func() { close(blob) })
		}
		if strings.HasSuffix(r.URL.Path, "."+agenttest.Product+".json") {
			select {
			case <-blob:
			case <-time.After(most):
			}
		}
		inner.ServeHTTP(w, r)
	})
	return func() bool {
		select {
		case <-blob:
			return true
		default:
			return false
		}
	}
}

// The artifact is asked for before the product's role has come.
func TestArtifactIsAskedForAhead(t *testing.T) {
	site := newSite(t)
	asked := holdRole(site, 20*time.Second)
	site.Release("1.1.0", 2, artifact(2), nil)
	u := newUnit(t, site)
	u.enroll()
	begun := time.Now()
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents(goodWay)
	u.wantRunning(boot.B, "1.1.0", image(2))
	if took := time.Since(begun); !asked() || took > 20*time.Second {
		t.Errorf("the role was held until it was given up, %v", took)
	}
}

// What was asked for ahead is dropped when the policy says no: nothing of it is in the slot.
func TestAheadOfARefusal(t *testing.T) {
	site := newSite(t)
	asked := holdRole(site, 20*time.Second)
	site.Release("1.1.0", 2, artifact(2), nil)
	site.Channels(map[string]any{"1.1.0": "beta"})
	u := newUnit(t, site)
	u.enroll()
	old := bytes.Repeat([]byte{0xA5}, 1<<20)
	write(t, u.cfg.Slots.B, old)
	u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantEvents("downloading rejected(wrong_channel)")
	if !asked() {
		t.Error("nothing was asked for ahead")
	}
	if got, err := os.ReadFile(u.cfg.Slots.B); err != nil || !bytes.Equal(got, old) {
		t.Errorf("the slot was written, or %v", err)
	}
}

// Nothing is asked for ahead of a release that is not for this device, nor where the rate is limited.
func TestNothingIsAskedAhead(t *testing.T) {
	for name, edit := range map[string]func(u *unit, m *firmware.Manifest){
		"older": func(_ *unit, m *firmware.Manifest) { m.Counter = 1 },
		"slow":  func(u *unit, _ *firmware.Manifest) { u.cfg.Rate = 100 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			site := newSite(t)
			asked := holdRole(site, 100*time.Millisecond)
			u := newUnit(t, site)
			var ahead atomic.Bool
			inner := site.Server.Config.Handler
			site.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner.ServeHTTP(w, r)
				if strings.HasSuffix(r.URL.Path, "."+agenttest.Product+".json") {
					ahead.Store(asked())
				}
			})
			u.cfg.Factory.Counter = 2
			site.Release("1.1.0", 3, artifact(2), func(m *firmware.Manifest) { edit(u, m) })
			u.enroll()
			u.untilEnd(site.Direct(u.id, "1.1.0", nil))
			if ahead.Load() {
				t.Error("the artifact was asked for ahead")
			}
		})
	}
}
