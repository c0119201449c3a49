package tufrepo

import (
	"strings"
	"testing"
)

// TestStatusOfLog: size, witnesses, and a checkpoint that devices would not believe.
func TestStatusOfLog(t *testing.T) {
	plain := newWorld(t)
	plain.publish(plain.genesis())
	if s, err := plain.repo.Status(); err != nil || s.Log != nil {
		t.Errorf("without a log: %+v, %v", s.Log, err)
	}
	w, l := withLog(t)
	if s, err := w.repo.Status(); err != nil || s.Log == nil || s.Log.Size != 0 || !s.Log.Made.IsZero() || s.Log.Quorum != "" {
		t.Errorf("before the first entry: %+v, %v", s.Log, err)
	}
	w.publish(w.loggedGenesis(l.Policy(2)))
	s, err := w.repo.Status()
	if err != nil || s.Log == nil || s.Log.Size != 1 || s.Log.Made.IsZero() || s.Log.Quorum == "" || s.Log.Trouble != "" || len(s.Log.Witnesses) != 3 {
		t.Fatalf("after it: %+v, %v", s.Log, err)
	}
	seen := 0
	for _, one := range s.Log.Witnesses {
		if one.Seen {
			seen++
		}
	}
	if seen < 2 {
		t.Errorf("%d witnesses have seen it: %+v", seen, s.Log.Witnesses)
	}
	log, _, err := w.repo.openLog()
	if err == nil {
		_, err = log.Add(t.Context(), [][]byte{[]byte("another entry")}) // its checkpoint no witness has seen
	}
	if err != nil {
		t.Fatal(err)
	}
	if s, err = w.repo.Status(); err != nil || s.Log.Size != 2 || !strings.Contains(s.Log.Trouble, "too few witnesses") {
		t.Errorf("not cosigned: %+v, %v", s.Log, err)
	}
}

func TestNamesOfLogFiles(t *testing.T) {
	for name, want := range map[string]bool{
		"log/checkpoint": true, "log/tile/0/000.p/1": true, "log/tile/entries/x001/000": true, "log/.state/treeState": true,
		"state/log/log.key": true, "state/log/policy.txt": true,
		"log/../state/keys/timestamp.key": false, "log/.state/../../x": false, "log//checkpoint": false, "log/x": false, "log": false,
		"state/log/other": false, "/log/checkpoint": false, "logs/checkpoint": false, "": false, "log/.state/treeState.lock": false,
	} {
		if got := IsLogFile(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
