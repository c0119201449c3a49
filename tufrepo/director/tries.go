package director

import (
	"sync"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/access"
)

// maxSources bounds the memory of tries. When it is reached all sources are forgotten; the
// limit of the whole service holds all the same.
const maxSources = 10_000

// tries limits who guesses claim codes; see package access for why these numbers.
type tries struct {
	mu      sync.Mutex
	all     bucket
	sources map[string]*bucket
}

// bucket holds tries that are left.
type bucket struct {
	left float64
	at   time.Time
}

// take takes a try out of a bucket that is filled up to, and by, perMinute.
func (b *bucket) take(perMinute int, now time.Time) bool {
	if b.at.IsZero() {
		b.left = float64(perMinute)
	} else if d := now.Sub(b.at); d > 0 {
		b.left = min(float64(perMinute), b.left+d.Minutes()*float64(perMinute))
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// source counts a try from one address.
func (t *tries) source(addr string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.sources[addr]
	if b == nil {
		if t.sources == nil || len(t.sources) >= maxSources {
			t.sources = map[string]*bucket{}
		}
		b = &bucket{}
		t.sources[addr] = b
	}
	return b.take(access.CodeTriesSource, now)
}

// service counts a try that may fail; one that did not is given back.
func (t *tries) service(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.take(access.CodeTries, now)
}

func (t *tries) giveBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.left = min(t.all.left+1, access.CodeTries)
}
