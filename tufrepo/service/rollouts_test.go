package service_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

const testRollout = "3f1c0a52-8d3e-4c55-9b7a-1f2e3d4c5b6a"

func newRollout(plan string) api.NewRollout {
	return api.NewRollout{ID: testRollout, Plan: json.RawMessage(plan), Product: repotest.Product, Version: "1.1.0"}
}

// nextDirection is the next direction that asks for anything, verified.
func (m *mqttClient) nextDirection() direction.Direction {
	m.u.s.t.Helper()
	for {
		select {
		case p := <-m.directions:
			if d := m.u.verified(p.Payload); d.Target != nil {
				return d
			}
		case <-time.After(10 * time.Second):
			m.u.s.t.Fatal("no direction has come")
		}
	}
}

// awaitRollout asks until f likes what it sees.
func (s *site) awaitRollout(what string, f func(api.Rollout) bool) (r api.Rollout) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		s.ask("GET", "/tenants/acme/rollouts/"+testRollout, nil, &r)
		if f(r) {
			return r
		}
	}
	s.t.Fatalf("%s: never, it is %+v", what, r)
	return r
}

// TestRolloutOverMQTT: question, answer, direction and reports through the broker; the loop of
// the service does the rest.
func TestRolloutOverMQTT(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 2)
	one, two := s.enrolled(token, "s1").mqtt("mqtts"), s.enrolled(token, "s2").mqtt("wss")
	var r api.Rollout
	s.ask("POST", "/tenants/acme/rollouts", newRollout(`{"schema": 1, "kind": "soft", "consent": {"ask": true, "longest": "1h", "then": "force"},
	  "phases": [{"name": "all", "percent": 100, "success": 50}], "pause": {"percent": 100}}`), &r)
	if r.Phases[0].States["asked"] != 2 {
		t.Fatalf("started: %+v", r)
	}
	for n, m := range []*mqttClient{one, two} {
		d := m.nextDirection()
		if d.Kind != direction.Ask || d.DeferUntil.IsZero() {
			t.Fatalf("the question: %+v", d)
		}
		yes := event(d.Update, 1, wire.Idle)
		yes.Say = wire.Yes
		m.publish(wire.LeafEvent, yes)
		again := m.nextDirection()
		if again.Kind != direction.Soft || again.Update != d.Update {
			t.Fatalf("after the answer: %+v", again)
		}
		m.publish(wire.LeafEvent, event(d.Update, 2, wire.Downloading))
		end := event(d.Update, 3, []wire.State{wire.Committed, wire.RolledBack}[n])
		if n == 1 {
			end.Reason, end.Detail = "health_check", "the fan does not turn"
		}
		m.publish(wire.LeafEvent, end)
	}
	r = s.awaitRollout("the end", func(r api.Rollout) bool { return r.Finished != nil })
	if r.Run != "finished" || r.Phases[0].Good != 1 || len(r.Reasons) != 1 || r.Reasons[0].Reason != "health_check" {
		t.Errorf("at the end: %+v", r)
	}
	var failed api.RolloutDevices
	s.ask("GET", "/tenants/acme/rollouts/"+testRollout+"/devices?state=failed", nil, &failed)
	if len(failed.Devices) != 1 || failed.Devices[0].Serial != "s2" || failed.Devices[0].Update == nil || failed.Devices[0].Update.Detail != "the fan does not turn" {
		t.Errorf("failed: %+v", failed)
	}
	if all := s.auditOf("acme"); !strings.Contains(all, "rollout.add") || !strings.Contains(all, "rollout.end") {
		t.Errorf("the audit log has %s", all)
	}
}

// auditOf is a tenant's audit log as it is handed out.
func (s *site) auditOf(tenant string) string {
	s.t.Helper()
	var out json.RawMessage
	s.ask("GET", "/tenants/"+tenant+"/audit", nil, &out)
	return string(out)
}

// TestGroupsAndNotes: the tree, and devices by what is noted of them.
func TestGroupsAndNotes(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 2), "s1")
	var tree api.Groups
	s.ask("POST", "/tenants/acme/groups/assign", api.GroupOrder{Path: "berlin/hq", Devices: []string{u.resp.Device}}, &tree)
	s.ask("POST", "/tenants/acme/groups/move", api.GroupOrder{Path: "berlin", To: "bonn"}, &tree)
	if len(tree.Groups) != 2 || tree.Groups[1].Path != "bonn/hq" || tree.Groups[1].Devices != 1 {
		t.Errorf("tree %+v", tree)
	}
	zone := "Europe/Berlin"
	var d, before api.Device
	s.ask("PATCH", "/devices/"+u.resp.Device, api.DeviceEdit{Zone: &zone, Attributes: map[string]string{"room": "7", "old": "x"}}, &before)
	s.ask("PATCH", "/devices/"+u.resp.Device, api.DeviceEdit{Attributes: map[string]string{"old": ""}}, &d)
	if d.Zone != zone || d.Group != "bonn/hq" || len(d.Attributes) != 1 || d.Attributes["room"] != "7" {
		t.Errorf("device %+v", d)
	}
	for query, want := range map[string]int{"group=bonn": 1, "group=berlin": 0, "text=S1": 1, "version=9": 0, "tenant=acme&product=" + repotest.Product: 1} {
		var all api.Devices
		if s.ask("GET", "/devices?"+query, nil, &all); len(all.Devices) != want {
			t.Errorf("%s: %d devices, want %d", query, len(all.Devices), want)
		}
	}
}
