package conduct

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

type (
	event       = scenario.Event
	expectation struct{ scenario.Expectation }
)

// happen lets an event happen and notes it.
func (r *run) happen(ctx context.Context, up time.Time, e event) {
	h := report.Happened{At: time.Since(up).Seconds(), Words: e.Words()}
	if err := r.do(ctx, e); err != nil {
		h.Error = err.Error()
	}
	r.lastAt, r.joined = time.Now(), -1
	r.out.Events = append(r.out.Events, h)
	r.say("%s %s", h.Words, h.Error)
}

func (r *run) do(ctx context.Context, e event) error {
	switch e.Does() {
	case "publish":
		for _, release := range r.s.Releases {
			if release.Version == e.Publish {
				return r.publish(ctx, release)
			}
		}
	case "rollout":
		return r.rollOut(ctx, e)
	case "direct":
		r.tracker.direct(e.Direct)
		return r.site.Direct(ctx, e.Direct)
	case "service":
		return r.service(ctx, e.Service)
	case "repository":
		return r.fleet.touch(r.all(), e)
	case "rotate":
		return r.site.RotateRoot(ctx, e.Rotate == "timestamp")
	case "timestamp":
		if e.Timestamp == "stolen" {
			return r.site.Forge()
		}
		return r.site.Restore()
	case "hostile":
		r.hostile.come(e.Hostile)
	default:
		return r.units(e)
	}
	return nil
}

func (r *run) rollOut(ctx context.Context, e event) (err error) {
	r.tracker.direct(e.Rollout)
	r.rollout[e.Rollout], err = r.site.Rollout(ctx, e.Rollout, e.RolloutPlan())
	return err
}

func (r *run) service(ctx context.Context, what string) error {
	switch what {
	case "kill":
		return r.site.Kill()
	case "stop":
		return r.site.Stop()
	}
	return r.site.Start(ctx)
}

// units are the events that happen to some of them.
func (r *run) units(e event) error {
	var some scenario.Some
	switch {
	case e.PowerCut != nil:
		some = *e.PowerCut
	case e.Fault != nil:
		some = e.Fault.Some
	case e.Units != nil:
		some = *e.Units
	}
	chosen, err := r.cast.draw(some, func(role) bool { return true })
	if err != nil {
		return fmt.Errorf("choosing units: %w", err)
	}
	return r.fleet.touch(chosen, e)
}

// all are the numbers of all units.
func (r *run) all() []int {
	numbers := make([]int, r.s.Units)
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers
}
