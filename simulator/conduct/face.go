package conduct

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/site"
)

// wall is the clock on the walls of the rooms. Where a scenario says what it shows when the fleet is up it stands still until then.
type wall struct {
	begins time.Time    // zero: it shows the time
	up     atomic.Int64 // nanoseconds since 1970; 0 for not yet
}

func (w *wall) start(up time.Time) { w.up.Store(up.UnixNano()) }

func (w *wall) now() time.Time {
	if w.begins.IsZero() {
		return time.Now()
	}
	up := w.up.Load()
	if up == 0 {
		return w.begins
	}
	return w.begins.Add(time.Duration(time.Now().UnixNano() - up))
}

// Bounds of how often an agent in virtual time looks whether its people have answered. Looking is what takes the processor.
const (
	answerLooks    = 10_000 // in a run, about
	longAnswerLook = time.Minute
)

// answerLook is how often agents look at the clock while they wait for people; 0 is their own.
func (r *run) answerLook() time.Duration {
	if !r.out.Virtual {
		return 0
	}
	return min(max(r.s.For.D()/answerLooks, time.Second), longAnswerLook)
}

// note has the service know what is noted of the units.
func (r *run) note(ctx context.Context) error {
	bySerial := map[string]site.Note{}
	for _, k := range r.s.Fleet {
		for i, n := range r.cast.of(k.Name) {
			if zone, attributes := k.Noted(i); zone != "" || len(attributes) > 0 {
				bySerial[r.cast.roles[n-1].unit.SerialOf(n)] = site.Note{Zone: zone, Attributes: attributes}
			}
		}
	}
	if len(bySerial) == 0 {
		return nil
	}
	r.say("noting the rooms, zones and attributes of %d units", len(bySerial))
	return r.site.Note(ctx, func(serial string) site.Note { return bySerial[serial] })
}

// interrupted is the verdict on units that rebooted while they were in use.
func (r *run) interrupted(units []int) (bool, string) {
	hit, put, example := 0, 0, ""
	r.tracker.ended(units, "", func(u report.Result) bool { put += u.PutOff; return false })
	r.tracker.ended(units, "", func(u report.Result) bool {
		if u.Interrupted > 0 {
			hit, example = hit+1, fmt.Sprintf(", such as %s with %s", u.Unit, u.To)
		}
		return u.Interrupted > 0
	})
	of := 0
	for _, n := range units {
		if r.cast.roles[n-1].unit.Hours.Used > 0 {
			of++
		}
	}
	return hit == 0, fmt.Sprintf("%d of %d%s; updates waited for people %d times", hit, of, example, put)
}
