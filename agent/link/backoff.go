package link

import "time"

// backoff says how long to wait before the next attempt. It does not know why attempts
// fail, only how they went.
type backoff struct {
	min, max time.Duration
	rand     func() float64
	failures int
}

// next is the wait after one more failure: anything from min up to a bound that doubles.
func (b *backoff) next() time.Duration {
	bound := 10 * b.min
	for i := 0; i < b.failures && bound < b.max; i++ {
		bound *= 2
	}
	bound = min(bound, b.max)
	b.failures++
	return b.min + time.Duration(b.rand()*float64(max(bound-b.min, 0)))
}

func (b *backoff) reset() { b.failures = 0 }

// around makes d random by a fifth to both sides.
func around(d time.Duration, random func() float64) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*random()))
}

// within is a random part of d.
func within(d time.Duration, random func() float64) time.Duration {
	return time.Duration(float64(d) * random())
}

// Three takeovers in warWindow are a clone war.
const (
	warWindow    = 10 * time.Minute
	warTakeovers = 3
)

// war counts how often another client took the session over.
type war struct {
	takeovers []time.Time // the newest ones
}

// takeover notes one and says whether it is war.
func (w *war) takeover(now time.Time) bool {
	w.takeovers = append(w.takeovers, now)
	if len(w.takeovers) > warTakeovers {
		w.takeovers = w.takeovers[1:]
	}
	return len(w.takeovers) == warTakeovers && now.Sub(w.takeovers[0]) <= warWindow
}

// ladder orders the transports: the last good one first, then the others from the top.
type ladder struct {
	rungs []string // from the top
	good  int
}

func (l *ladder) choice(i int) string {
	switch {
	case i == 0:
		return l.rungs[l.good]
	case i <= l.good:
		return l.rungs[i-1]
	}
	return l.rungs[i]
}

func (l *ladder) worked(transport string) {
	for i, rung := range l.rungs {
		if rung == transport {
			l.good = i
		}
	}
}
