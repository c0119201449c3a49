package link

import (
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// maxReplies bounds the replies that wait for a connection; the oldest go first.
const maxReplies = 16

// pending is what waits to be sent and is not in the outbox. Newer states replace older.
type pending struct {
	mu       sync.Mutex
	reported *wire.Reported // the newest, kept for new connections
	version  int            // of reported
	sent     int            // version that the service has
	progress *wire.Progress
	replies  []wire.Reply
}

func (p *pending) report(r wire.Reported) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reported = &r
	p.version++
}

// again makes the report due once more.
func (p *pending) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version++
}

// due is the report that the service has not got, and its version.
func (p *pending) due() (*wire.Reported, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reported == nil || p.sent == p.version {
		return nil, 0
	}
	r := *p.reported
	return &r, p.version
}

func (p *pending) delivered(version int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = max(p.sent, version)
}

func (p *pending) reply(r wire.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replies = append(p.replies, r)
	if len(p.replies) > maxReplies {
		p.replies = p.replies[1:]
	}
}

// nextReply is the oldest reply; answered lets it go.
func (p *pending) nextReply() (wire.Reply, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.replies) == 0 {
		return wire.Reply{}, false
	}
	return p.replies[0], true
}

func (p *pending) answered(r wire.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.replies) > 0 && p.replies[0] == r {
		p.replies = p.replies[1:]
	}
}

func (p *pending) setProgress(now wire.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.progress = &now
}

func (p *pending) takeProgress() *wire.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.progress
	p.progress = nil
	return now
}

// Progress is worth sending when a state begins, then after 5 percent and 10 s, and every
// 30 s as long as anything moves.
const (
	progressPause = 10 * time.Second
	progressBeat  = 30 * time.Second
)

// throttle remembers what progress was sent.
type throttle struct {
	last wire.Progress
	at   time.Time
}

func (t *throttle) pass(p wire.Progress, now time.Time) bool {
	since := now.Sub(t.at)
	switch {
	case p.Update != t.last.Update || p.State != t.last.State:
	case since >= progressPause && 20*(p.Done-t.last.Done) >= p.Total && p.Done != t.last.Done:
	case since >= progressBeat && p.Done != t.last.Done:
	default:
		return false
	}
	t.last, t.at = p, now
	return true
}
