package agent

import (
	"sync"
	"time"
)

// repeated does something again and again. Between two times it is a timer and no goroutine: an agent mostly waits, and a goroutine that
// waits keeps the stack that it needed when it did not.
type repeated struct {
	step func() time.Duration // says when it is to be called again
	work sync.WaitGroup       // as long as the timer runs, or the step

	mu    sync.Mutex
	timer *time.Timer
	gone  bool
}

// repeat calls step, each time after as long as it has said, and soon for the first time.
func repeat(step func() time.Duration) *repeated {
	r := &repeated{step: step}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work.Add(1)
	r.timer = time.AfterFunc(0, r.turn)
	return r
}

func (r *repeated) turn() {
	defer r.work.Done()
	next := r.step()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		r.work.Add(1)
		r.timer.Reset(next)
	}
}

// stop returns when step is called no more. One that is under way is waited for.
func (r *repeated) stop() {
	r.mu.Lock()
	r.gone = true
	if r.timer.Stop() {
		r.work.Done()
	}
	r.mu.Unlock()
	r.work.Wait()
}
