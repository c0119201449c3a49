package director_test

import (
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// TestOldAgentsAreHeldBack: a release that needs a later agent goes to no device whose agent is known to be older; who directs
// sees why, and a rollout takes the device in when its agent is new.
func TestOldAgentsAreHeldBack(t *testing.T) {
	s := newSite(t)
	all := s.Releases.(releases)
	r := all["base/1.1.0"]
	r.Manifest.MinAgent = "2.0.0"
	all["base/1.1.0"] = r
	ids := s.fleet(t, 3)
	says := func(n int, agent string) {
		t.Helper()
		must(t, s.say(ids[n], wire.LeafReported, wire.Reported{Schema: 1, Time: s.clock(), State: wire.Idle, Version: "1.0.0", Counter: 1, Agent: agent}))
	}
	says(0, "1.9.9")
	says(1, "2.0.0")
	says(2, "2.0.0-rc.1") // before 2.0.0
	out := s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", Devices: []string{ids[0].Device}})
	if out[0].Refused != director.RefusedAgent || !strings.Contains(out[0].Detail, "agent 1.9.9, the release needs 2.0.0") {
		t.Errorf("directed by hand: %+v", out[0])
	}
	s.rollout(`{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`)
	s.turns()
	s.wantStates("at first", theRollout, map[rollout.State]int{rollout.Directed: 1, rollout.Excluded: 2})
	rows, err := s.RolloutDevices(ctx, "acme", store.RowQuery{Rollout: theRollout})
	must(t, err)
	for _, d := range rows {
		if d.State == "excluded" && d.Reason != director.UnfitAgent {
			t.Errorf("why it is left out: %+v", d)
		}
	}
	says(0, "2.1.0")
	s.turns()
	s.wantStates("with a new agent", theRollout, map[rollout.State]int{rollout.Directed: 2, rollout.Excluded: 1})
}
