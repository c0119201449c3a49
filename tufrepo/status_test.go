package tufrepo

import (
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

func TestStatusOfRoles(t *testing.T) {
	w := newWorld(t)
	first := w.genesis()
	root := w.NewRoot(1, w.now)
	root.Signed.UnrecognizedFields = map[string]any{ownersMember: map[string]any{
		w.Root[0].ID(): "alice", w.Root[1].ID(): "bob\x1b[2J", w.Root[2].ID(): "carol",
	}}
	repotest.Put(t, first, "metadata/1.root.json", repotest.Sign(t, root, w.Root[:2]...))
	w.publish(first)
	w.now = w.now.Add(repotest.Year - 36*time.Hour)
	s, err := w.repo.Status()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]RoleStatus{}
	for _, r := range s.Roles {
		got[r.Role] = r
	}
	r := got["root"]
	if r.Days != 1 || r.Threshold != 2 || len(r.Signed) != 2 || len(r.Missing) != 1 {
		t.Fatalf("root: %+v", r)
	}
	if r.Signed[0].String() != "alice" || r.Signed[1].String() != w.Root[1].ID()[:12] || r.Missing[0].Owner != "carol" {
		t.Errorf("root is signed by %v, not by %v", r.Signed, r.Missing)
	}
	if p := got[repotest.Product]; p.Threshold != 2 || len(p.Signed) != 2 || len(p.Missing) != 0 {
		t.Errorf("product: %+v", p)
	}
	if ts := got["timestamp"]; ts.Days >= 0 || len(ts.Signed) != 1 {
		t.Errorf("a timestamp that expired long ago: %+v", ts)
	}
	w.now = w.now.Add(36*time.Hour + time.Second)
	if s, err = w.repo.Status(); err != nil || s.Roles[0].Days != -1 {
		t.Errorf("a root that expired a second ago: %+v, %v", s.Roles[0], err)
	}
}
