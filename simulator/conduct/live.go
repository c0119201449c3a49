package conduct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/simulator/report"
)

// quietFor is how long nothing may have happened before a run ends early.
const quietFor = time.Second

// upWait is how long a fleet may take to come up, beside its ramp and the scenario's own time.
const upWait = time.Minute

// live runs the fleet through the events.
func (r *run) live(ctx context.Context) error {
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	fleetCtx, off := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		err := r.fleet.live(fleetCtx)
		if errors.Is(err, errLost) {
			lose(err)
		}
		ended <- err
	}()
	if !r.out.Virtual {
		go r.sampler.late.watch(fleetCtx)
	}
	r.hostile = newHostiles(r.exchange, r.site.Address(), r.s.Seed)
	err := r.comeUp(ctx)
	if err == nil {
		err = r.note(ctx)
	}
	if err == nil {
		err = r.perform(ctx)
	}
	r.out.Seconds = time.Since(r.sampler.up).Seconds()
	lost := context.Cause(ctx)
	if !errors.Is(lost, errLost) {
		lost, r.out.Interrupted = nil, ctx.Err() != nil
	}
	r.say("powering the fleet off")
	r.hostile.end()
	off()
	bricks := <-ended // they are judged by their disks
	if lost != nil || errors.Is(bricks, errLost) {
		return cmp.Or(lost, bricks)
	}
	if bricks != nil {
		r.say("%v", bricks)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// denseGC has the collector come often while a fleet comes up, unless GOGC says otherwise: what units keep then lies closer together,
// which is what a large fleet takes for the rest of its life.
const denseGC = 25

// comeUp waits until the fleet is there.
func (r *run) comeUp(ctx context.Context) error {
	if !r.out.Virtual && os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(denseGC))
	}
	enrol, connect := r.expected()
	r.say("powering %d units on, %.0f a second", r.s.Units, r.s.Timing.Ramp)
	r.out.Began = time.Now().UTC()
	r.sampler.up = time.Now().Add(r.s.Ramp())
	late := time.Now().Add(r.s.Ramp() + r.s.For.D() + upWait)
	began := time.Now()
	for {
		// The longer it takes, the less it matters when exactly it was.
		tick := time.NewTimer(min(r.Every, max(every, time.Since(began)/20)+odd))
		select {
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		case <-tick.C:
			s := r.take(ctx)
			enrolled := r.sampler.last.enrolled
			if int(enrolled) >= enrol && int(s.Devices) >= connect {
				if !r.out.Virtual {
					rest()
				}
				r.say("up: %d enrolled, %d connected by MQTT", int(enrolled), int(s.Devices))
				return nil
			}
			brick, lament := r.tracker.troubles()
			if n := s.States[stateBricked]; n > 0 {
				return fmt.Errorf("the fleet did not come up: %d units do not even start: %s", n, brick)
			}
			if time.Now().After(late) {
				return fmt.Errorf("the fleet did not come up: %d of %d units enrolled, %d of %d are connected by MQTT. Agents said: %q",
					int(enrolled), enrol, int(s.Devices), connect, lament)
			}
		}
	}
}

// expected is how many units are to enrol and to be connected when the fleet is up. Those behind a captive portal cannot,
// those on lines that come and go may not be there at the moment.
func (r *run) expected() (enrol, connect int) {
	clones := len(r.cast.of(cloneKind)) > 0 // they and their victims throw each other out
	for _, role := range r.cast.roles {
		line := role.unit.Line
		if role.unit.CloneOf > 0 || line.Portal || role.unit.Faults.Skew > 0 {
			continue
		}
		enrol++
		if line.Offline == 0 && line.Corrupt == 0 && len(role.unit.Transports) > 0 && !clones && role.unit.Faults.Skew == 0 {
			connect++
		}
	}
	return enrol, connect
}

// perform lets the events happen, until the end.
func (r *run) perform(ctx context.Context) error {
	up := time.Now()
	if err := r.fleet.up(up); err != nil {
		return err
	}
	shift := up.Sub(r.sampler.up).Seconds()
	r.sampler.up = up
	for i := range r.out.Samples {
		r.out.Samples[i].At -= shift
	}
	events := slices.Clone(r.s.Events)
	slices.SortStableFunc(events, func(a, b event) int { return int(a.At - b.At) })
	r.lastAt = up
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	from := up // what the times of events count from
	for end := up.Add(r.s.For.D()); ; {
		next := time.NewTimer(r.until(from, events))
		select {
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		case e := <-r.Inject:
			next.Stop()
			r.happen(ctx, up, e)
		case <-next.C:
			if len(events) > 0 && r.due(ctx, from, events[0]) {
				if events[0].When != nil {
					from = time.Now().Add(-events[0].At.D())
				}
				r.happen(ctx, up, events[0])
				events = events[1:]
			}
		case <-tick.C:
			next.Stop()
			r.take(ctx)
			if len(events) == 0 && r.settled(ctx) || time.Now().After(end) {
				return nil
			}
		}
	}
}

// until is the time to the next event, or until it is worth asking again whether it may happen; long if there is none.
func (r *run) until(from time.Time, events []event) time.Duration {
	if len(events) == 0 {
		return time.Hour
	}
	left := time.Until(from.Add(events[0].At.D()))
	if events[0].When != nil {
		left = max(left, r.Every/2)
	}
	return left
}

// due reports whether an event may happen. Those after it are later by as much as it has waited.
func (r *run) due(ctx context.Context, from time.Time, e event) bool {
	return !time.Now().Before(from.Add(e.At.D())) && (e.When == nil || r.ripe(ctx, expectation{*e.When}))
}

// take takes a sample.
func (r *run) take(ctx context.Context) report.Sample {
	s := r.sampler.sample(ctx)
	if r.out.Virtual { // what depends on the machine; and on chance: the last words of a unit whose power is cut may get out or not
		s.FleetCPU, s.FleetMem, s.Late, s.Sent = 0, 0, 0, 0
	}
	r.out.Samples = append(r.out.Samples, s)
	if r.Sampled != nil {
		r.Sampled(s)
	}
	return s
}

// settled reports whether nothing more is waited for.
func (r *run) settled(ctx context.Context) bool {
	all := true
	for _, e := range r.s.Expect {
		all = r.ripe(ctx, expectation{e}) && all // all are asked: some note when they became true
	}
	return all && r.tracker.quiet(quietFor)
}

// ripe reports whether waiting longer would not make an expectation truer.
func (r *run) ripe(ctx context.Context, e expectation) bool {
	units := r.cast.of(e.Of)
	switch e.Asks() {
	case "committed":
		return r.tracker.ended(units, e.Committed, committed) >= e.need(len(units))
	case "ended":
		return r.tracker.ended(units, "", e.isEnd) >= e.need(len(units))
	case "rollout":
		state, err := r.rolloutState(ctx, e.Release)
		return err == nil && state == e.Rollout
	case "connected":
		return r.connected(e)
	}
	return true
}

func committed(u report.Result) bool { return u.State == string(wire.Committed) }

// connected notes how long it took until as many were connected as expected.
func (r *run) connected(e expectation) bool {
	if len(r.out.Samples) == 0 {
		return false
	}
	last := r.out.Samples[len(r.out.Samples)-1]
	if int(last.Devices) < e.Connected.Of(r.s.Units) {
		return false
	}
	if r.joined < 0 {
		r.joined = time.Since(r.lastAt).Seconds()
	}
	return true
}

func (r *run) rolloutState(ctx context.Context, version string) (string, error) {
	id := r.rollout[version]
	if id == "" {
		return "", errors.New("it was not begun")
	}
	out, err := r.site.RolloutState(ctx, id)
	return out.Run, err
}
