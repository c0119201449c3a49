package install

import (
	"context"
	"sync"
	"time"
)

// Throttle holds back what installs fetch. It may be turned while they run, by any goroutine. The zero value, and nil,
// hold back nothing.
type Throttle struct {
	mu     sync.Mutex
	rate   int64
	paused bool
	due    time.Time     // when the bytes so far should have taken until
	turned chan struct{} // closed at the next turn; nil while nobody waits for it
}

// SetRate lets through so many bytes a second; 0 is no limit.
func (t *Throttle) SetRate(bytesPerSecond int64) {
	t.turn(func() { t.rate, t.due = max(bytesPerSecond, 0), time.Time{} })
}

// Pause lets nothing through until Resume. What was fetched is still written. A server may end a connection that is
// paused for long; what it had begun to send is asked for again then.
func (t *Throttle) Pause() { t.turn(func() { t.paused = true }) }

// Resume ends a pause.
func (t *Throttle) Resume() { t.turn(func() { t.paused = false }) }

// Paused says whether nothing is let through.
func (t *Throttle) Paused() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused
}

func (t *Throttle) turn(how func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	how()
	if t.turned != nil {
		close(t.turned)
		t.turned = nil
	}
}

// Reads from the source are of at most mostRead bytes, and of a tenth of a second's worth where the rate is limited.
const (
	leastRead = 1 << 10
	mostRead  = 256 << 10
)

// ask waits until something may be read, and returns how much at once.
func (t *Throttle) ask(ctx context.Context) (int, error) {
	for t != nil {
		most, wait, turned := t.now()
		if turned == nil {
			return most, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return 0, context.Cause(ctx)
		case <-turned:
		case <-timer.C:
		}
		timer.Stop()
	}
	return mostRead, nil
}

// aLongTime is how long a pause lasts at most before it is looked at again.
const aLongTime = time.Hour

// now is how much may be read; or how long to wait, and what ends the wait early.
func (t *Throttle) now() (most int, wait time.Duration, turned chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait = time.Until(t.due)
	if t.paused {
		wait = aLongTime
	}
	if t.paused || t.rate > 0 && wait > 0 {
		if t.turned == nil {
			t.turned = make(chan struct{})
		}
		return 0, wait, t.turned
	}
	most = mostRead
	if t.rate > 0 {
		most = int(min(max(t.rate/10, leastRead), mostRead))
	}
	return most, 0, nil
}

// spent says that n bytes were read. Time in which less was read than allowed is not made good later.
func (t *Throttle) spent(n int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate > 0 {
		if now := time.Now(); t.due.Before(now) {
			t.due = now
		}
		t.due = t.due.Add(time.Duration(float64(n) / float64(t.rate) * float64(time.Second)))
	}
}
