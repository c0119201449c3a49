package client

import "sync"

// turn is a lock that is held while the network is waited for. In the time of testing/synctest, which stands still while somebody
// waits for a sync.Mutex, whoever waits for it holds nobody up. The zero value is free.
type turn struct {
	mu    sync.Mutex
	taken chan struct{} // closed when whoever has it gives it back; nil: nobody has it
}

// Lock waits until nobody has it.
func (t *turn) Lock() {
	for {
		t.mu.Lock()
		taken := t.taken
		if taken == nil {
			t.taken = make(chan struct{})
		}
		t.mu.Unlock()
		if taken == nil {
			return
		}
		<-taken
	}
}

// Unlock gives it back.
func (t *turn) Unlock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken)
	t.taken = nil
}
