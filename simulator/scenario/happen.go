package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/agent/wire"
)

// words are what a key may say.
var words = map[string][]string{
	"service": {"kill", "stop", "start"}, "repository": {"down", "up"}, "rotate": {"root", "timestamp"},
	"timestamp": {"stolen", "cleaned"}, "line": {"down", "up"}, "bricked": {"none"}, "interrupted": {"none"},
	"ended":   {string(wire.Committed), string(wire.Failed), string(wire.RolledBack), string(wire.Rejected)},
	"rollout": {"running", "paused", "finished", "rolled_back", "rolling_back", "aborted"},
}

func (c *checker) word(path, key, value string) {
	if value != "" && !slices.Contains(words[key], value) {
		c.wrong(path+"."+key, "%q is none of %s", value, strings.Join(words[key], ", "))
	}
}

// Does is the one thing that the event does, by its key.
func (e Event) Does() string {
	what := e.all()
	if len(what) != 1 {
		return ""
	}
	return what[0]
}

func (e Event) all() (what []string) {
	for _, k := range []struct {
		key string
		set bool
	}{
		{"publish", e.Publish != ""}, {"rollout", e.Rollout != ""}, {"direct", e.Direct != ""}, {"service", e.Service != ""},
		{"repository", e.Repository != ""}, {"rotate", e.Rotate != ""}, {"timestamp", e.Timestamp != ""}, {"power_cut", e.PowerCut != nil},
		{"line", e.Line != ""}, {"network", e.Network != ""}, {"fault", e.Fault != nil}, {"hostile", e.Hostile != 0},
	} {
		if k.set {
			what = append(what, k.key)
		}
	}
	return what
}

// Words is the event for people.
func (e Event) Words() string {
	switch e.Does() {
	case "publish":
		return "publish " + e.Publish
	case "rollout":
		return "roll " + e.Rollout + " out"
	case "direct":
		return "direct " + e.Direct + " to all"
	case "service", "repository", "line":
		return e.Does() + " " + e.Service + e.Repository + e.Line + e.whom(e.Units)
	case "rotate":
		return "rotate the " + e.Rotate + " key"
	case "timestamp":
		return "timestamp key " + e.Timestamp
	case "power_cut":
		return "cut the power" + e.whom(e.PowerCut)
	case "network":
		return "network " + e.Network + e.whom(e.Units)
	case "fault":
		return "fault" + e.whom(&e.Fault.Some)
	}
	return fmt.Sprintf("%d strangers come", e.Hostile)
}

func (e Event) whom(s *Some) string {
	switch {
	case s == nil:
		return ""
	case s.Count > 0:
		return strings.TrimRight(fmt.Sprintf(" of %d %s", s.Count, s.Of), " ")
	}
	return strings.TrimRight(fmt.Sprintf(" of %.3g%% %s", 100*float64(s.Share), s.Of), " ")
}

func (c *checker) event(path string, e Event) {
	if n := len(e.all()); n != 1 {
		c.wrong(path, "an event does one thing, this one does %d: make an entry for each", n)
		return
	}
	if e.At < 0 || e.At >= c.s.For {
		c.wrong(path+".at", "%v is not before the end of the run, %v: let it last longer with for", e.At.D(), c.s.For.D())
	}
	for key, version := range map[string]string{"publish": e.Publish, "rollout": e.Rollout, "direct": e.Direct} {
		if version != "" {
			c.release(path+"."+key, version)
		}
	}
	for key, value := range map[string]string{"service": e.Service, "repository": e.Repository, "rotate": e.Rotate, "timestamp": e.Timestamp, "line": e.Line} {
		c.word(path, key, value)
	}
	c.network(path+".network", e.Network)
	if w := e.When; w != nil {
		c.expectation(path+".when", *w)
		if !slices.Contains([]string{"committed", "ended", "rollout", "connected"}, w.Asks()) {
			c.wrong(path+".when", "nobody can wait for that: write committed, ended, rollout or connected")
		}
	}
	c.eventUnits(path, e)
}

func (c *checker) eventUnits(path string, e Event) {
	for key, some := range map[string]*Some{"power_cut": e.PowerCut, "units": e.Units} {
		if some != nil {
			c.some(path+"."+key, *some)
		}
	}
	if e.Fault != nil {
		c.some(path+".fault", e.Fault.Some)
		c.fault(path+".fault", *e.Fault, true)
	}
	if (e.Line != "" || e.Network != "") && e.Units == nil {
		c.wrong(path, "say for whom: units: {share: 10%%}")
	}
	if e.Plan != nil && e.Rollout == "" {
		c.wrong(path+".plan", "only a rollout has a plan")
	}
	if _, err := e.rawPlan(); err != nil {
		c.wrong(path+".plan", "%w", err)
	}
	if e.Hostile < 0 || e.Hostile > 1000 {
		c.wrong(path+".hostile", "%d is not within 1 and 1000", e.Hostile)
	}
}

// Asks is the one thing that is expected, by its key.
func (e Expectation) Asks() string {
	what := e.all()
	if len(what) != 1 {
		return ""
	}
	return what[0]
}

func (e Expectation) all() (what []string) {
	for _, k := range []struct {
		key string
		set bool
	}{
		{"committed", e.Committed != ""}, {"ended", e.Ended != ""}, {"none_on", e.NoneOn != ""}, {"at_most_on", e.AtMostOn != ""},
		{"bricked", e.Bricked != ""}, {"interrupted", e.Interrupted != ""}, {"rollout", e.Rollout != ""}, {"bytes_per_unit", e.BytesPerUnit != 0},
		{"requests_per_second", e.RequestsPerSec != 0}, {"connections_per_second", e.ConnectsPerSec != 0}, {"connected", e.Connected != 0},
	} {
		if k.set {
			what = append(what, k.key)
		}
	}
	return what
}

func (c *checker) expectation(path string, e Expectation) {
	if n := len(e.all()); n != 1 {
		c.wrong(path, "an expectation asks for one thing, this one for %d: make an entry for each", n)
		return
	}
	for key, version := range map[string]string{"committed": e.Committed, "none_on": e.NoneOn, "at_most_on": e.AtMostOn, "release": e.Release} {
		if version != "" {
			c.release(path+"."+key, version)
		}
	}
	for key, value := range map[string]string{"ended": e.Ended, "bricked": e.Bricked, "interrupted": e.Interrupted, "rollout": e.Rollout} {
		c.word(path, key, value)
	}
	c.kind(path+".of", e.Of)
	c.possible(path, e)
}

// possible refuses what no run could meet, and what every run would.
func (c *checker) possible(path string, e Expectation) {
	sent := func(v Event, version string) bool { return v.Rollout == version || v.Direct == version }
	for key, version := range map[string]string{"committed": e.Committed, "release": e.Release} {
		if version != "" && !slices.ContainsFunc(c.s.Events, func(v Event) bool { return sent(v, version) }) {
			c.wrong(path+"."+key, "nothing rolls %s out: add an event, such as {at: 1s, rollout: %s}", version, version)
		}
	}
	if e.Within < 0 || e.Within > c.s.For {
		c.wrong(path+".within", "%v is longer than the run, %v: let it last longer with for", e.Within.D(), c.s.For.D())
	}
	if e.Within != 0 && e.Committed == "" && e.Connected == 0 {
		c.wrong(path+".within", "only committed and connected have a time")
	}
	if e.Rollout != "" && e.Release == "" {
		c.wrong(path, "name the release of the rollout: release: 1.1.0")
	}
	if e.Reason != "" && e.Ended == "" {
		c.wrong(path+".reason", "only ended has a reason")
	}
	used := func(k Kind) bool { return k.Hours != nil && (e.Of == "" || e.Of == k.Name) }
	if e.Interrupted != "" && !slices.ContainsFunc(c.s.Fleet, used) {
		c.wrong(path+".interrupted", "none of these units is ever in use: give their kind hours, such as {from: \"08:00\", to: \"18:00\"}")
	}
	if e.AtMostOn != "" && e.Share == 0 {
		c.wrong(path, "say how many: share: 10%%; or use none_on")
	}
}

// Words is the expectation for people.
func (e Expectation) Words() string {
	share, of, within := "all units", "", ""
	if e.Share > 0 && e.Share < 1 {
		share = fmt.Sprintf("%.3g%% of the units", 100*float64(e.Share))
	}
	if e.Of != "" {
		of = " of kind " + e.Of
	}
	if e.Within > 0 {
		within = fmt.Sprintf(" within %v", e.Within.D())
	}
	switch e.Asks() {
	case "committed":
		return share + of + " commit " + e.Committed + within
	case "ended":
		return strings.TrimRight(share+of+" end "+e.Ended+" "+e.Reason, " ")
	case "none_on":
		return "no unit" + of + " is left on " + e.NoneOn
	case "at_most_on":
		return fmt.Sprintf("at most %.3g%% of the units%s run %s", 100*float64(e.Share), of, e.AtMostOn)
	case "bricked":
		return "no unit is bricked"
	case "interrupted":
		return "no unit" + of + " reboots by itself while it is in use"
	case "rollout":
		return "the rollout of " + e.Release + " is " + e.Rollout
	case "bytes_per_unit":
		return fmt.Sprintf("no unit%s receives more than %d bytes", of, e.BytesPerUnit)
	case "requests_per_second":
		return fmt.Sprintf("at most %g requests a second", e.RequestsPerSec)
	case "connections_per_second":
		return fmt.Sprintf("at most %g new connections a second", e.ConnectsPerSec)
	}
	return fmt.Sprintf("%.3g%% of the units are connected%s after the last event", 100*float64(e.Connected), within)
}
