package director_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// boom makes the database refuse a statement of a turn, from behind the director's back.
func (s *site) boom(trigger string) (mend func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "fairlead.db")+"?_pragma=busy_timeout(10000)")
	must(s.t, err)
	_, err = db.Exec("CREATE TRIGGER boom BEFORE " + trigger + " BEGIN SELECT RAISE(ABORT, 'boom'); END")
	must(s.t, err)
	return func() {
		_, err := db.Exec("DROP TRIGGER boom")
		must(s.t, errors.Join(err, db.Close()))
	}
}

// after is what is stored of a rollout after the turns of a story: rows, and who is directed
// to what.
type after struct {
	Rows    []director.RolloutDevice
	Updates map[string]string
	Run     rollout.Run
}

func (s *site) after(ids []director.Identity) (a after) {
	s.t.Helper()
	var err error
	a.Rows, err = s.RolloutDevices(ctx, "acme", store.RowQuery{Rollout: theRollout})
	must(s.t, err)
	a.Updates, a.Run = map[string]string{}, s.stands(theRollout).Status.Run
	for _, id := range ids {
		if s.told[id.Device] > 0 || s.hasDirection(id) {
			a.Updates[id.Device] = s.direction(id).Update
		}
	}
	return a
}

func (s *site) hasDirection(id director.Identity) bool {
	_, version, err := s.Direction(ctx, id.Device)
	return err == nil && version > 0
}

// story takes a rollout to the middle of its second phase: one device fails, its direction is
// taken back, others are directed. broken is called before the turn that does it.
func (s *site) story(broken func(*site)) after {
	ids := s.fleet(s.t, 12)
	s.rollout(`{"schema": 1, "in_flight": 4, "pause": {"percent": 100}, "phases": [{"name": "first", "count": 2}, {"name": "all", "percent": 100, "success": 10}]}`)
	first := s.states(theRollout)[rollout.Directed]
	for _, id := range first {
		s.goes(id, 1, wire.Downloading, wire.Committed)
	}
	s.turns()
	second := s.states(theRollout)[rollout.Directed]
	s.goes(second[0], 1, wire.Downloading, wire.Failed)
	s.goes(second[1], 1, wire.Downloading)
	broken(s)
	s.turns()
	return s.after(ids)
}

// TestTurnStopsAnywhere: each statement of a turn is refused once; nothing of the turn remains,
// nobody is told, and the next turn, of this director or of one that starts anew, comes to the
// same end.
func TestTurnStopsAnywhere(t *testing.T) {
	want := newSite(t).story(func(*site) {})
	if want.Run != rollout.Running || len(want.Updates) < 6 {
		t.Fatalf("the story goes otherwise: %+v", want)
	}
	for at, restart := range map[string]bool{"UPDATE ON leases": false, "DELETE ON rollout_events": true, "UPDATE ON rollout_rows": false,
		"INSERT ON directions": true, "INSERT ON updates": false, "UPDATE OF head ON rollouts": true} {
		t.Run(fmt.Sprintf("%s, restart %v", at, restart), func(t *testing.T) {
			got := newSite(t).story(func(s *site) {
				before, told := s.after(nil), len(s.told)
				mend := s.boom(at)
				if n, err := s.TakeTurns(ctx); err == nil {
					s.t.Fatalf("%d turns passed", n)
				}
				mend()
				if now := s.after(nil); !reflect.DeepEqual(before, now) || len(s.told) != told {
					s.t.Errorf("the turn that failed has left something:\n%+v\n%+v", before, now)
				}
				if restart {
					s.start()
				}
				s.pass(time.Minute) // one whose turn has failed rests a little
			})
			got.forget(want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// forget takes out what depends on the minute of rest.
func (a after) forget(b after) {
	for _, one := range []after{a, b} {
		for i := range one.Rows {
			one.Rows[i].Timer, one.Rows[i].First = 0, 0
			one.Rows[i].Update.Created, one.Rows[i].Update.Changed = time.Time{}, time.Time{}
		}
	}
}

// TestCrashAfterTheCommit: nobody was told, and the directions lie there for devices that ask.
func TestCrashAfterTheCommit(t *testing.T) {
	s := newSite(t)
	s.fleet(t, 3)
	s.OnDirection(func(string) {}) // the broker is gone
	s.rollout(twoPhases)
	s.start()
	for _, id := range s.states(theRollout)[rollout.Directed] {
		if d := s.direction(id); d.Target == nil {
			t.Errorf("device %s finds %+v", id.Device, d)
		}
		s.goes(id, 1, wire.Committed)
	}
	s.turns()
	if r := s.stands(theRollout); r.Status.Run != rollout.Finished {
		t.Errorf("at the end %+v", r.Status)
	}
}

// two are two directors on one PostgreSQL.
func two(t *testing.T) (a, b *site) {
	t.Helper()
	where := postgres.Database(t)
	open := func(node string, like *site) *site {
		s := newSite(t)
		db, err := store.Open(ctx, where, store.Options{Node: node})
		must(t, err)
		t.Cleanup(func() { db.Close() })
		c := s.Config
		c.Store, c.Node, c.SeenFile = db, node, filepath.Join(t.TempDir(), "seen")
		if like != nil {
			c.CA, c.Keys, c.Seal, c.Clock, s.ceremony = like.CA, like.Keys, like.Seal, like.Clock, like.ceremony
		}
		s.Director, err = director.New(ctx, c)
		must(t, err)
		s.OnDirection(func(device string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told[device]++
		})
		return s
	}
	a = open("a", nil)
	return a, open("b", a)
}

// TestTwoDirectors take the turns of one rollout from each other while devices report to both:
// no device is directed twice, none is left out.
func TestTwoDirectors(t *testing.T) {
	a, b := two(t)
	ids := a.fleet(t, 30)
	a.rollout(`{"schema": 1, "in_flight": 5, "phases": [{"name": "all", "percent": 100}]}`)
	for round := 0; a.stands(theRollout).Status.Run == rollout.Running; round++ {
		if round > 60 {
			t.Fatalf("it does not end: %+v", a.stands(theRollout).Status)
		}
		var wg sync.WaitGroup
		for n, id := range a.states(theRollout)[rollout.Directed] {
			wg.Go(func() { []*site{a, b}[n%2].goes(id, 1, wire.Downloading, wire.Committed) })
		}
		for _, s := range []*site{a, b} {
			wg.Go(func() {
				if _, err := s.TakeTurns(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first, then := a, b
		if round%2 == 1 {
			a.pass(20 * time.Second) // the lease of whoever has it is over
			first, then = b, a
		}
		first.turns()
		then.turns()
		states := a.states(theRollout)
		if st := a.stands(theRollout).Status; st.InFlight != len(states[rollout.Directed])+len(states[rollout.Updating]) ||
			st.Phases[0].Good != len(states[rollout.Committed]) {
			t.Fatalf("round %d: the one that had the last turn believes %+v", round, st)
		}
	}
	a.wantStates("at the end", theRollout, map[rollout.State]int{rollout.Committed: 30})
	for _, id := range ids {
		if n := a.told[id.Device] + b.told[id.Device]; n != 1 {
			t.Errorf("device %s was directed %d times", id.Device, n)
		}
	}
	if len(b.told) == 0 || len(a.told) == 0 {
		t.Error("one of them has done everything: this test tests nothing")
	}
}

// TestOldMemory: a director takes a turn with what it remembers from before others had theirs.
func TestOldMemory(t *testing.T) {
	a, b := two(t)
	a.fleet(t, 6)
	a.rollout(`{"schema": 1, "in_flight": 2, "phases": [{"name": "all", "percent": 100}]}`)
	for n, s := range []*site{b, a, b} {
		a.pass(20 * time.Second)
		for _, id := range a.states(theRollout)[rollout.Directed] {
			s.goes(id, 1, wire.Committed)
		}
		s.turns()
		want := map[rollout.State]int{rollout.Committed: 2*n + 2}
		if n < 2 {
			want[rollout.Directed] = 2
		}
		if n == 0 {
			want[rollout.Waiting] = 2
		}
		a.wantStates(fmt.Sprint("turn ", n), theRollout, want)
		if good := a.stands(theRollout).Status.Phases[0].Good; good != 2*n+2 {
			t.Errorf("turn %d: it believes that %d have committed", n, good)
		}
	}
}

// TestOrderToTheOtherDirector: who has not the rollout leaves the order to the one that has,
// and says no where the order cannot be.
func TestOrderToTheOtherDirector(t *testing.T) {
	a, b := two(t)
	a.fleet(t, 3)
	a.rollout(twoPhases)
	if _, err := b.ApproveRollout(ctx, "acme", theRollout, "all"); code(err) != wire.CodeConflict {
		t.Errorf("a phase that has not begun is approved: %v", err)
	}
	_, err := b.PauseRollout(ctx, "acme", theRollout, "lunch")
	must(t, err)
	b.turns()
	if r := a.stands(theRollout); r.Status.Run != rollout.Running {
		t.Errorf("it was paused by %+v, which has not the lease", r.Status)
	}
	a.turns()
	if r := b.stands(theRollout); r.Status.Run != rollout.Paused || r.Status.Reason != "lunch" {
		t.Errorf("the order did not arrive: %+v", r.Status)
	}
}

// TestTwoRolloutsOfTwoDirectors want the same devices at the same time.
func TestTwoRolloutsOfTwoDirectors(t *testing.T) {
	a, b := two(t)
	a.fleet(t, 20)
	const second = "11111111-2222-4333-8444-555555555555"
	var wg sync.WaitGroup
	plan := `{"schema": 1, "kind": "download_only", "in_flight": 8, "phases": [{"name": "all", "percent": 100}]}`
	wg.Go(func() { a.rollout(plan) })
	wg.Go(func() { b.rollout(plan, func(n *director.NewRollout) { n.ID = second }) })
	wg.Wait()
	for round := 0; ; round++ {
		x, y := a.stands(theRollout), b.stands(second)
		if x.Status.Run == rollout.Finished && y.Status.Run == rollout.Finished {
			break
		}
		if round > 40 {
			t.Fatalf("they do not end: %+v\n%+v", x.Status, y.Status)
		}
		for id, s := range map[string]*site{theRollout: a, second: b} {
			wg.Go(func() {
				for n, one := range s.states(id)[rollout.Directed] {
					s.goes(one, int64(100*round+2*n+1), wire.Staged)
				}
				if _, err := s.TakeTurns(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		a.pass(10 * time.Minute)
	}
	for _, id := range []string{theRollout, second} {
		a.wantStates("at the end", id, map[rollout.State]int{rollout.Staged: 20})
	}
}
