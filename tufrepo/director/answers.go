package director

import (
	"sync"

	"github.com/fairlead/fairlead/agent/wire"
)

// answers are the commands whose answers somebody waits for.
type answers struct {
	mu      sync.Mutex
	waiting map[answerKey]chan wire.Reply
}

type answerKey struct{ device, command string }

// Answer is to be asked for before the command of that id is sent. The channel gets what the
// device replies, if this director hears it; stop is to be called in any case.
func (d *Director) Answer(device, command string) (reply <-chan wire.Reply, stop func()) {
	key, c := answerKey{device, command}, make(chan wire.Reply, 1)
	a := &d.answers
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[answerKey]chan wire.Reply{}
	}
	a.waiting[key] = c
	return c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting, key)
	}
}

// heard hands on a reply. One that nobody waits for is dropped.
func (a *answers) heard(device string, r wire.Reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case a.waiting[answerKey{device, r.ID}] <- r:
	default: // none, or it has come twice
	}
}
