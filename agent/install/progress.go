package install

import (
	"math"
	"time"
)

// reportEvery is the least time between two reports while nothing but bytes comes.
const reportEvery = 250 * time.Millisecond

// came counts bytes from the source.
func (r *run) came(n int) {
	r.fetched.Add(int64(n))
	if r.Progress != nil && time.Since(time.Unix(0, r.told.Load())) >= reportEvery {
		r.report(PhaseInstall)
	}
}

// report tells how far the phase is.
func (r *run) report(phase string) {
	if r.Progress == nil {
		return
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	r.told.Store(time.Now().UnixNano())
	r.mu.Lock()
	p := Progress{
		Phase: phase, Done: r.done.total(), Total: r.Manifest.Image.Length, Fetched: r.fetched.Load(),
		Written: r.res.Written, Unchanged: r.res.Unchanged,
	}
	ahead := r.ahead - p.Fetched
	r.mu.Unlock()
	flow := p.Fetched
	if phase == PhaseVerify {
		p.Done = r.proven.Load()
		flow, ahead = p.Done, p.Total-p.Done
	}
	p.Rate = r.meter.rate(phase, flow)
	if p.Rate > 0 && ahead > 0 {
		p.Left = time.Duration(float64(ahead) / float64(p.Rate) * float64(time.Second)).Round(time.Second)
	}
	r.Progress(p)
}

// meter says how quickly a count grows, smoothed.
type meter struct {
	phase string
	at    time.Time
	count int64
	value float64 // per second; below 0 as long as it is not known
}

// Times of a meter.
const (
	meterStep   = 200 * time.Millisecond // between two looks at the count, at least
	meterMemory = 5 * time.Second        // what is older counts for less than what is newer
)

// rate takes a look at the count.
func (m *meter) rate(phase string, count int64) int64 {
	now := time.Now()
	step := now.Sub(m.at)
	switch {
	case m.phase != phase:
		*m = meter{phase: phase, at: now, count: count, value: -1}
	case step >= meterStep:
		grown := float64(count-m.count) / step.Seconds()
		if m.value < 0 {
			m.value = grown
		}
		m.value += (grown - m.value) * (1 - math.Exp(-step.Seconds()/meterMemory.Seconds()))
		m.at, m.count = now, count
	}
	return int64(max(m.value, 0))
}
