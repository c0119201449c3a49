package agent

import (
	"context"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// box is where the link puts what comes, and finds it taken away. Of directions only the
// newest counts.
type box struct {
	mu        sync.Mutex
	raw       []byte
	cmds      []wire.Cmd
	transport *string
	wake      chan struct{}
}

// maxCmds are the commands that may wait; more are dropped, and expire where they came from.
const maxCmds = 8

func newBox() *box { return &box{wake: make(chan struct{}, 1)} }

// Direction implements link.Handler.
func (b *box) Direction(raw []byte) { b.put(func() { b.raw = raw }) }

// Cmd implements link.Handler.
func (b *box) Cmd(c wire.Cmd) {
	b.put(func() {
		if len(b.cmds) < maxCmds {
			b.cmds = append(b.cmds, c)
		}
	})
}

// Connected implements link.Handler.
func (b *box) Connected(transport string) { b.put(func() { b.transport = &transport }) }

func (b *box) put(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take empties the box.
func (b *box) take() (raw []byte, cmds []wire.Cmd, transport *string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	raw, cmds, transport = b.raw, b.cmds, b.transport
	b.raw, b.cmds, b.transport = nil, nil, nil
	return raw, cmds, transport
}

// listen verifies what comes and leaves it to the loop. It waits for the network, so that the
// loop does not have to.
func (l *loop) listen(ctx context.Context, u *uplink, b *box) {
	e := ear{loop: l, up: u, box: b, again: time.NewTimer(time.Hour), refresh: time.NewTimer(time.Hour)}
	e.again.Stop()
	e.refresh.Stop()
	defer e.again.Stop()
	defer e.refresh.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
			e.open(ctx)
		case <-e.again.C:
			e.judge(ctx)
		case <-e.refresh.C:
			e.follow(ctx)
		}
	}
}

// ear is the state of listen.
type ear struct {
	*loop
	up       *uplink
	box      *box
	raw      []byte // a direction that could not be judged yet
	failures int
	again    *time.Timer // for raw
	refresh  *time.Timer // for the director's root
	followed bool
}

func (e *ear) open(ctx context.Context) {
	raw, cmds, transport := e.box.take()
	e.send(ctx, func() { e.heard(e.up, cmds, transport) })
	if transport != nil && *transport != "" && !e.followed {
		e.followed = true
		e.refresh.Reset(0)
	}
	if raw != nil {
		e.raw, e.failures = raw, 0
		e.judge(ctx)
	}
}

// judge verifies the direction. One that cannot be judged now is kept: the service will not
// send it again.
func (e *ear) judge(ctx context.Context) {
	if e.raw == nil {
		return
	}
	d, err := e.up.director.Accept(ctx, e.raw)
	if err == nil {
		e.raw = nil
		e.raise(d.Issued)
		e.send(ctx, func() { e.directed(d) })
		if err := e.up.repo.RaiseTime(d.Issued); err != nil {
			e.o.Log.Warn("keep trusted time", "error", err)
		}
		return
	}
	reason := ReasonOf(err)
	e.send(ctx, func() { e.trouble(refuse(reason, "direction: %w", err)) })
	if reason == Corrupt || reason == RollbackMetadata {
		e.raw = nil // it says nothing, or nothing new
		return
	}
	e.failures++
	e.again.Reset(e.o.Retry.wait(e.failures, e.o.Rand))
}

// follow follows the director's root, so that a key that was withdrawn loses its power.
func (e *ear) follow(ctx context.Context) {
	if err := e.up.director.Refresh(ctx); err != nil && ctx.Err() == nil {
		e.o.Log.Warn("follow the director's root", "error", err)
	}
	poll := time.Duration(e.cfg.Poll)
	e.refresh.Reset(poll*4/5 + time.Duration(e.o.Rand()*float64(poll)*2/5))
}
