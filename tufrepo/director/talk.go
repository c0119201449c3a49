package director

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/fairlead/fairlead/agent/wire"
)

const (
	// keepEvents is about how many events of one device are kept.
	keepEvents = 1000
	// A device may say talkBurst things at once, and talkRate per second in the long run.
	talkRate  = 5
	talkBurst = 300
)

// talk is what is kept in memory about a device that talks.
type talk struct {
	limit *rate.Limiter

	mu       sync.Mutex
	events   int // since the last pruning
	progress *wire.Progress
}

func (d *Director) talkOf(device string) *talk {
	if t, ok := d.devices.Load(device); ok {
		return t.(*talk)
	}
	t, _ := d.devices.LoadOrStore(device, &talk{limit: rate.NewLimiter(talkRate, talkBurst)})
	return t.(*talk)
}

// allow takes n things to say from a device's allowance.
func (d *Director) allow(device string, n int) error {
	if !d.talkOf(device).limit.AllowN(d.Clock(), n) {
		d.stats.Refused.Add(1)
		return refuse(wire.CodeBusy, "device %s says too much: at most %d things at once and %d per second", device, talkBurst, talkRate)
	}
	return nil
}

func (t *talk) setProgress(p *wire.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = p
}

// pruneNow counts an event and says when it is time to drop old ones.
func (t *talk) pruneNow() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events++
	if t.events < keepEvents/8 {
		return false
	}
	t.events = 0
	return true
}
