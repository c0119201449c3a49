package rollout

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

const fullPlan = `{"schema": 1, "kind": "soft", "consent": {"ask": true, "longest": "72h", "then": "force"},
  "phases": [
    {"name": "canary", "canary": true, "count": 5, "groups": ["lab"], "soak": "24h", "approval": true},
    {"name": "berlin", "groups": ["berlin/hq", "berlin/mitte"], "success": 90},
    {"name": "half", "percent": 50, "soak": "1h30m"},
    {"name": "all", "percent": 100}],
  "in_flight": 500, "per_minute": 60, "silent_after": "12h", "pause": {"percent": 3, "sample": 50}, "roll_back": true,
  "zone": "Europe/Berlin", "windows": [{"days": ["mon", "fri"], "from": "22:00", "to": "05:00"}, {"from": "00:00", "to": "24:00"}],
  "start": "2026-12-01T20:00:00+01:00", "open_until": "2027-01-31T00:00:00Z"}`

func TestParse(t *testing.T) {
	s := plan(t, fullPlan)
	want := Spec{
		Schema: 1, Kind: Soft, Consent: &Consent{Ask: true, Longest: Duration(72 * time.Hour), Then: Force},
		Phases: []Phase{
			{Name: "canary", Canary: true, Count: 5, Groups: []string{"lab"}, Success: 100, Soak: Duration(24 * time.Hour), Approval: true},
			{Name: "berlin", Groups: []string{"berlin/hq", "berlin/mitte"}, Success: 90},
			{Name: "half", Percent: 50, Success: 95, Soak: Duration(90 * time.Minute)},
			{Name: "all", Percent: 100, Success: 95}},
		InFlight: 500, PerMinute: 60, SilentAfter: Duration(12 * time.Hour), Pause: &Brake{3, 50}, RollBack: true, Zone: "Europe/Berlin",
		Windows:   []Window{{Days: []Day{1, 5}, From: 22 * 60, To: 5 * 60}, {From: 0, To: 24 * 60}},
		Start:     time.Date(2026, 12, 1, 19, 0, 0, 0, time.UTC),
		OpenUntil: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
	}
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("%+v\nwant %+v", s, want)
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	s := plan(t, `{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`)
	want := Spec{Schema: 1, Kind: Forced, Phases: []Phase{{Name: "all", Percent: 100, Success: 95}},
		SilentAfter: Duration(24 * time.Hour), Pause: &Brake{Percent: 5, Sample: 20}}
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("%+v\nwant %+v", s, want)
	}
}

func TestParseRefuses(t *testing.T) {
	const all = `"phases": [{"name": "all", "percent": 100}]`
	for _, c := range []struct{ plan, want string }{
		{`{` + all + `}`, "schema 0"},
		{`{"schema": 2, ` + all + `}`, "schema 2"},
		{`{"schema": 1}`, "number of phases must be from 1"},
		{`{"schema": 1, "colour": "red", ` + all + `}`, `unknown field "colour"`},
		{`{"schema": 1, "schema": 1, ` + all + `}`, "one name, two values"},
		{`{"schema": 1, "kind": "hard", ` + all + `}`, `kind "hard" is none of`},
		{`{"schema": 1, "kind": "soft", ` + all + `}`, "needs consent"},
		{`{"schema": 1, "consent": {"longest": "1h", "then": "force"}, ` + all + `}`, `consent needs "kind": "soft"`},
		{`{"schema": 1, "kind": "soft", "consent": {"longest": "1h", "then": "ask"}, ` + all + `}`, "then must be"},
		{`{"schema": 1, "kind": "soft", "consent": {"then": "skip"}, ` + all + `}`, "longest must be from 1m0s"},
		{`{"schema": 1, "phases": [{"name": "Alle", "percent": 100}]}`, "a name has"},
		{`{"schema": 1, "phases": [{"name": "a"}]}`, "say which devices"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 10, "count": 1}]}`, "does not go with count"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 101}]}`, "percent must be from 1 to 100"},
		{`{"schema": 1, "phases": [{"name": "a", "count": -1}]}`, "count must be from 0"},
		{`{"schema": 1, "phases": [{"name": "a", "groups": ["/x"]}]}`, "is not a path"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 10}, {"name": "b", "percent": 10}]}`, "must be more than 10"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 10}, {"name": "a", "percent": 20}]}`, "has this name"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100}, {"name": "b", "count": 5}]}`, "nobody is left"},
		{`{"schema": 1, "phases": [{"name": "a", "count": 1}, {"name": "b", "canary": true, "count": 5}]}`, "only the first phase"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100, "approval": true}]}`, "nothing comes after the last"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100, "success": 101}]}`, "success must be from 1 to 100"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100, "soak": "soon"}]}`, "not a duration"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100, "soak": "1500ms"}]}`, "whole seconds"},
		{`{"schema": 1, "phases": [{"name": "a", "percent": 100, "soak": 3600}]}`, "cannot unmarshal"},
		{`{"schema": 1, "in_flight": -1, ` + all + `}`, "in_flight must be from 0"},
		{`{"schema": 1, "per_minute": 1000001, ` + all + `}`, "per_minute must be from 0 to 1000000"},
		{`{"schema": 1, "silent_after": "10s", ` + all + `}`, "silent_after must be from 1m0s"},
		{`{"schema": 1, "pause": {"percent": 101}, ` + all + `}`, "pause: percent must be from 0 to 100"},
		{`{"schema": 1, "pause": null, ` + all + `}`, "null"},
		{`{"schema": 1, "kind": "download_only", "roll_back": true, ` + all + `}`, "nothing to undo"},
		{`{"schema": 1, "windows": [{"from": "22:00", "to": "05:00"}], ` + all + `}`, "zone is missing"},
		{`{"schema": 1, "zone": "UTC", ` + all + `}`, "zone is for windows"},
		{`{"schema": 1, "zone": "UTC", "windows": [{"from": "22:00", "to": "22:00"}], ` + all + `}`, "are the same"},
		{`{"schema": 1, "zone": "UTC", "windows": [{"from": "24:00", "to": "05:00"}], ` + all + `}`, `up to "23:59"`},
		{`{"schema": 1, "zone": "UTC", "windows": [{"from": "9:00", "to": "05:00"}], ` + all + `}`, "not a time of day"},
		{`{"schema": 1, "zone": "UTC", "windows": [{"days": ["mo"], "from": "09:00", "to": "05:00"}], ` + all + `}`, "not a day"},
		{`{"schema": 1, "zone": "UTC", "windows": [{"days": ["mon", "mon"], "from": "09:00", "to": "05:00"}], ` + all + `}`, "twice"},
		{`{"schema": 1, "start": "tomorrow", ` + all + `}`, "parsing time"},
		{`{"schema": 1, "start": "1999-01-01T00:00:00Z", ` + all + `}`, "in the year 1999"},
		{`{"schema": 1, "start": "2027-01-01T00:00:00Z", "open_until": "2026-01-01T00:00:00Z", ` + all + `}`, "open_until must be after"},
		{`{"schema": 1, ` + strings.Repeat(" ", MaxSpec) + all + `}`, "at most 65536"},
	} {
		if _, err := Parse([]byte(c.plan)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v\nwant %s", strings.TrimSpace(c.plan[:min(len(c.plan), 200)]), err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fullPlan))
	f.Add([]byte(tenPhases))
	f.Add([]byte(`{"schema": 1, "phases": [{"name": "all", "percent": 100}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if b, _ := json.Marshal(again); string(b) != string(text) {
			t.Fatalf("%s\n%s", text, b)
		}
	})
}
