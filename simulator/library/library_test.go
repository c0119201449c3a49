package library

import (
	"strings"
	"testing"
)

// want are the scenarios that people will look for.
var want = []string{"bad-release", "broker-restart", "clone-war", "month-of-updates", "office-morning", "old-agents", "power-cut-storm",
	"repository-outage", "root-rotation-missed", "slow-links", "stolen-timestamp-key", "thundering-herd"}

func TestEveryScenarioCanBeRun(t *testing.T) {
	if got := strings.Join(Names(), " "); got != strings.Join(want, " ") {
		t.Errorf("there are %s", got)
	}
	for _, name := range want {
		s, err := Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name || s.About == "" {
			t.Errorf("%s calls itself %q: %q", name, s.Name, s.About)
		}
	}
	if _, err := Load("office-mornin"); err == nil || !strings.Contains(err.Error(), "office-morning") {
		t.Errorf("a name that is not there: %v", err)
	}
}
