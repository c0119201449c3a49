package service_test

import (
	"encoding/json"
	"testing"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// Two units of one tenant report, one of another does not: each sees what is its own.
func TestReport(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.tenant("globex", 1)
	one, two := s.custom("acme", "panel-1"), s.custom("acme", "panel-2")
	_ = s.custom("globex", "panel-3")
	update := s.direct("acme", "1.1.0", one)
	other := s.direct("acme", "1.1.0", two)
	failed := event(other, 1, wire.Failed)
	failed.Reason, failed.Fetched = "io", 500
	for u, e := range map[*unit]wire.Event{one: event(update, 1, wire.Committed), two: failed} {
		if r := u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{e}}, u.basic()...); r.status != 200 {
			t.Fatalf("reports: %d %s", r.status, r.body)
		}
	}
	var got api.Report
	s.ask("GET", "/report?tenant=acme", nil, &got)
	if len(got.Releases) != 1 {
		t.Fatalf("report %+v", got)
	}
	r := got.Releases[0]
	if r.Tenant != "acme" || r.Version != "1.1.0" || r.Updates != 2 || r.Committed != 1 || r.Unsuccessful != 1 ||
		r.MedianMillis != 2000 || r.P95Millis != 2000 || r.Fetched != 1500 || len(r.Outcomes) != 2 || r.Outcomes[1].Reason != "io" {
		t.Errorf("report %+v", r)
	}
	s.ask("GET", "/report?tenant=globex", nil, &got)
	if len(got.Releases) != 0 {
		t.Errorf("the other tenant's report %+v", got)
	}
	s.ask("GET", "/report?tenant=acme&since="+got.Until.AddDate(0, 0, 1).Format("2006-01-02T15:04:05Z"), nil, &got)
	if len(got.Releases) != 0 {
		t.Errorf("report since tomorrow %+v", got)
	}
	var said api.Events
	s.ask("GET", "/devices/"+two.resp.Device+"/events", nil, &said)
	var e wire.Event
	if len(said.Events) != 1 || json.Unmarshal(said.Events[0], &e) != nil || e.Reason != "io" || e.Update != other {
		t.Errorf("events %s", said.Events)
	}
}
