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
	wake      func() // is told that there is something; must not block
}

// maxCmds are the commands that may wait; more are dropped, and expire where they came from.
const maxCmds = 8

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
	b.wake()
}

// take empties the box.
func (b *box) take() (raw []byte, cmds []wire.Cmd, transport *string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	raw, cmds, transport = b.raw, b.cmds, b.transport
	b.raw, b.cmds, b.transport = nil, nil, nil
	return raw, cmds, transport
}

// What an ear may have to do.
const (
	toOpen   = 1 << iota // the box
	toJudge              // the direction that could not be judged yet
	toFollow             // the director's root
)

// ear verifies what comes and leaves it to the loop. It waits for the network, so that the
// loop does not have to. It has a goroutine only while there is something to do.
type ear struct {
	*loop
	ctx      context.Context // as long as it listens
	up       *uplink
	box      *box
	raw      []byte // a direction that could not be judged yet
	failures int
	again    *time.Timer // for raw
	refresh  *time.Timer // for the director's root
	followed bool

	mu   sync.Mutex
	todo int
	busy bool // there is a goroutine
	gone bool
	work sync.WaitGroup
}

// listen makes an ear for what is put into its box.
func (l *loop) listen(ctx context.Context, u *uplink) *ear {
	e := &ear{loop: l, ctx: ctx, up: u}
	e.box = &box{wake: func() { e.nudge(toOpen) }}
	e.again = time.AfterFunc(time.Hour, func() { e.nudge(toJudge) })
	e.again.Stop()
	e.refresh = time.AfterFunc(time.Hour, func() { e.nudge(toFollow) })
	e.refresh.Stop()
	return e
}

func (e *ear) nudge(what int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.todo |= what
	if !e.busy && !e.gone {
		e.busy = true
		e.work.Go(e.run)
	}
}

// run does what there is to do, until there is nothing.
func (e *ear) run() {
	for {
		e.mu.Lock()
		todo := e.todo
		e.todo, e.busy = 0, todo != 0 && !e.gone
		busy := e.busy
		e.mu.Unlock()
		if !busy {
			return
		}
		if todo&toOpen != 0 {
			e.open(e.ctx)
		}
		if todo&toJudge != 0 {
			e.judge(e.ctx)
		}
		if todo&toFollow != 0 {
			e.follow(e.ctx)
		}
	}
}

// stop returns when nothing is left of it. The context has ended before.
func (e *ear) stop() {
	e.mu.Lock()
	e.gone = true
	e.mu.Unlock()
	e.work.Wait()
	e.again.Stop()
	e.refresh.Stop()
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
