package link

import (
	"sync"
	"testing"
	"time"
)

// scene is what a test watches: changes under its lock wake up those who wait for them.
type scene struct {
	mu       sync.Mutex
	cond     *sync.Cond
	patience time.Duration
}

func newScene() *scene {
	s := &scene{patience: 20 * time.Second}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *scene) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.cond.Broadcast()
}

// look reads under the lock.
func look[T any](s *scene, get func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return get()
}

// until waits until ok holds.
func (s *scene) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(s.patience, func() { s.do(func() { late = true }) })
	defer timer.Stop()
	defer s.beat()()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if late {
			t.Fatalf("waited in vain: %s", what)
		}
		s.cond.Wait()
	}
}

// beat wakes those who wait for things outside of the scene too, such as a status. In false
// time there is none: it would pass in small steps.
func (s *scene) beat() (stop func()) {
	if s.patience > time.Minute {
		return func() {}
	}
	ticker, done := time.NewTicker(5*time.Millisecond), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				s.do(func() {})
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}
