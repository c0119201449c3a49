package install

import (
	"sync"
	"time"
)

// Bounds of what the line's figures decide.
const (
	minGap   = 4 << 10   // unwanted bytes that are never worth a request of their own
	maxGap   = 256 << 10 // unwanted bytes that always are
	minAhead = 64 << 10  // bytes left to read when the next request goes out, at least
	maxAhead = 4 << 20   // and at most
	mendable = 1 << 20   // bytes that a request with gaps has at most: the figures change
)

// line is what is known of the way to the source: the time that a request takes until its first byte comes, and how
// quickly bytes follow. It begins with a guess.
type line struct {
	mu    sync.Mutex
	wait  time.Duration // for an answer
	bytes float64       // that came lately
	time  time.Duration // that they took

	readers int       // that wait for bytes
	since   time.Time // until when their time is counted
}

func newLine() *line {
	return &line{wait: 50 * time.Millisecond, bytes: 32 << 10, time: 250 * time.Millisecond}
}

// answered notes how long an answer took. Of late ones most is said by the last.
func (l *line) answered(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wait = (l.wait + took) / 2
}

// reading notes that bytes are waited for.
func (l *line) reading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers++; l.readers == 1 {
		l.since = time.Now()
	}
}

// came notes bytes that were waited for. Time in which several wait counts once; what came long ago counts less and less.
func (l *line) came(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.bytes += float64(n)
	l.time += now.Sub(l.since)
	l.since = now
	l.readers--
	for l.time > 2*time.Second {
		l.bytes, l.time = l.bytes/2, l.time/2
	}
}

// inFlight is how many bytes can be under way at once.
func (l *line) inFlight() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.bytes / max(l.time, time.Millisecond).Seconds() * l.wait.Seconds())
}

// gap is how many unwanted bytes are better read over than asked around. The next request is under way in good time, so
// that it costs less than a whole round trip.
func (l *line) gap() int64 { return min(max(l.inFlight()/4, minGap), maxGap) }

// ahead is how many bytes before the end of a request the next one goes out: so that its answer begins when the other
// ends, and not much earlier, as it would wait with its window full.
func (l *line) ahead() int64 { return min(max(l.inFlight()*3/2, minAhead), maxAhead) }
