package conduct

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/simulator/report"
)

// judge looks at all disks and gives the verdicts.
func (r *run) judge(ctx context.Context) error {
	r.say("looking at the disks of %d units", r.s.Units)
	f, err := r.fleet.look()
	if err != nil {
		return err
	}
	order := make([]string, len(r.s.Releases))
	for i, release := range r.s.Releases {
		order[i] = release.Version
	}
	r.out.Results = r.tracker.results(order)
	var received []int64
	for _, n := range r.all() {
		received = append(received, f.Received[n])
	}
	r.out.Received = report.PercentilesOf(received)
	r.out.Conclude()
	for _, e := range r.s.Expect {
		ok, found := r.verdict(ctx, expectation{e}, f)
		r.out.Verdicts = append(r.out.Verdicts, report.Verdict{Words: e.Words(), OK: ok, Found: found})
	}
	return nil
}

// need is how many of n units it takes.
func (e expectation) need(n int) int {
	if e.Share == 0 {
		return n
	}
	return e.Share.Of(n)
}

func (e expectation) isEnd(u report.Result) bool {
	return u.State == e.Ended && (e.Reason == "" || u.Reason == e.Reason)
}

// verdict says whether an expectation held, and what was found.
func (r *run) verdict(ctx context.Context, e expectation, f findings) (bool, string) {
	units := r.cast.of(e.Of)
	switch e.Asks() {
	case "committed":
		n := r.tracker.ended(units, e.Committed, func(u report.Result) bool {
			return committed(u) && (e.Within == 0 || u.Seconds <= e.Within.D().Seconds())
		})
		return n >= e.need(len(units)), fmt.Sprintf("%d of %d; %s", n, len(units), r.slowest(units, e.Committed))
	case "ended":
		n := r.tracker.ended(units, "", e.isEnd)
		return n >= e.need(len(units)), fmt.Sprintf("%d of %d", n, len(units))
	case "none_on":
		n := f.on(units, e.NoneOn)
		return n == 0, fmt.Sprintf("%d of %d", n, len(units))
	case "at_most_on":
		n := f.on(units, e.AtMostOn)
		return n <= e.Share.Of(len(units)), fmt.Sprintf("%d of %d", n, len(units))
	case "bricked":
		if len(f.Bricks) > 0 {
			return false, fmt.Sprintf("%d: %s", len(f.Bricks), f.Bricks[0])
		}
		return true, fmt.Sprintf("the disks of %d units were read: each would boot what it says it runs", r.s.Units)
	case "interrupted":
		return r.interrupted(units)
	}
	return r.measured(ctx, e, units, f)
}

// measured are verdicts on what was counted.
func (r *run) measured(ctx context.Context, e expectation, units []int, f findings) (bool, string) {
	switch e.Asks() {
	case "rollout":
		state, err := r.rolloutState(ctx, e.Release)
		if err != nil {
			return false, err.Error()
		}
		return state == e.Rollout, "it is " + state
	case "bytes_per_unit":
		var most int64
		for _, n := range units {
			most = max(most, f.Received[n])
		}
		return most <= int64(e.BytesPerUnit), fmt.Sprintf("%d bytes at most", most)
	case "requests_per_second":
		return r.out.Costs.RequestsMax <= e.RequestsPerSec, fmt.Sprintf("%.0f at most", r.out.Costs.RequestsMax)
	case "connections_per_second":
		return r.out.Costs.ConnectsMax <= e.ConnectsPerSec, fmt.Sprintf("%.0f at most", r.out.Costs.ConnectsMax)
	}
	if r.joined < 0 {
		return false, "as many were not connected at the end"
	}
	return e.Within == 0 || r.joined <= e.Within.D().Seconds(), fmt.Sprintf("after %.1f s", r.joined)
}

func (f findings) on(units []int, version string) (n int) {
	for _, u := range units {
		if f.Version[u] == version {
			n++
		}
	}
	return n
}

// slowest tells of the last commit, and of what the others came to.
func (r *run) slowest(units []int, version string) string {
	others, slowest := map[string]int{}, 0.0
	r.tracker.ended(units, version, func(u report.Result) bool {
		if committed(u) {
			slowest = max(slowest, u.Seconds)
		} else {
			others[u.State+" "+u.Reason]++
		}
		return false
	})
	text := fmt.Sprintf("the last after %.1f s", slowest)
	for _, state := range slices.Sorted(maps.Keys(others)) {
		text += fmt.Sprintf(", %d %s", others[state], state)
	}
	return text
}
