package agent

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// lookEvery is how often the link is asked what is wrong with it.
const lookEvery = 30 * time.Second

// loop is the daemon: the one goroutine that owns the machine. Others post to it what is to
// be done there.
type loop struct {
	*session
	up   *uplink // nil without a cloud connection
	post chan func()
	base context.Context // as long as the loop turns
	cut  func()          // ends the cloud connection

	work     *work                // under way; nil if none
	next     *direction.Direction // the newest one, if it is not what is under way
	seen     int64                // version of the newest direction
	retry    *time.Timer
	failures int  // of the agent's own files and of the bootloader, in a row
	paused   bool // until retry fires
	leave    bool
	outcome  error
	alive    *time.Ticker // that tells so
	look     *time.Ticker // at the link

	clock    *time.Timer // while something waits
	waiting  *wire.Wait  // as it was told last
	asks     int         // attempts to find out what a question is about
	answered []wire.Reply

	orphan    error // why there will be no uplink
	transport string
	once      sync.Once
	reached   chan struct{} // closed when the service was reached since the start
}

// work is a download or a trial, on a goroutine of its own.
type work struct{ cancel context.CancelCauseFunc }

var errSuperseded = errors.New("superseded")

func newLoop(s *session) *loop {
	l := &loop{session: s, post: make(chan func()), reached: make(chan struct{}), cut: func() {},
		retry: time.NewTimer(time.Hour), clock: time.NewTimer(time.Hour)}
	l.retry.Stop()
	l.clock.Stop()
	s.m.told = l.changed
	return l
}

// run turns until ctx ends or the system is to be rebooted. Nobody is left behind.
//
// First what is under way is stopped, then the connection, which so hears of the last event.
//
// It waits for most of an agent's life: what takes room on the stack is done in functions that have returned.
func (l *loop) run(ctx context.Context) error {
	defer l.begin(ctx)()
	for stopped := ctx.Done(); !l.leave || l.work != nil; {
		select {
		case <-stopped:
			stopped = nil
			l.quit(nil)
		case do := <-l.post:
			do()
		case <-l.retry.C:
			l.paused = false
			l.advance()
		case <-l.clock.C:
			l.tick()
		case <-l.alive.C:
			l.tell(l.o.Notify.Alive)
		case <-l.look.C:
			l.lookAtLink()
		}
	}
	return l.outcome
}

// begin does what is done once. end leaves nobody behind.
func (l *loop) begin(ctx context.Context) (end func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.base = inner
	wait := l.connect(inner)
	l.hearAnswer()
	l.advance()
	l.tell(l.o.Notify.Ready)
	every := l.o.Notify.Every
	if l.alive = time.NewTicker(cmp.Or(max(every, 0), time.Hour)); every <= 0 {
		l.alive.Stop()
	}
	l.look = time.NewTicker(max(lookEvery, l.o.Idle))
	return func() {
		l.look.Stop()
		l.alive.Stop()
		l.clock.Stop()
		l.retry.Stop()
		cancel()
		wait()
	}
}

func (l *loop) tell(f func()) {
	if f != nil {
		f()
	}
}

// quit ends the loop, once what is under way has ended.
func (l *loop) quit(err error) {
	l.leave, l.outcome = true, err
	if l.work != nil {
		l.work.cancel(context.Canceled)
	}
}

// do runs f where the machine belongs, and waits for it. It is for the work alone: the loop
// turns as long as there is any.
func (l *loop) do(f func() error) error {
	result := make(chan error, 1)
	l.post <- func() { result <- f() }
	return <-result
}

// send leaves f to the loop, or drops it when ctx ends.
func (l *loop) send(ctx context.Context, f func()) {
	select {
	case l.post <- f:
	case <-ctx.Done():
	}
}

// start puts run on a goroutine of its own; after gets what it returned, back on the loop.
func (l *loop) start(run func(context.Context) error, after func(error)) {
	ctx, cancel := context.WithCancelCause(l.base)
	l.work = &work{cancel}
	go func() {
		err := run(ctx)
		cancel(nil)
		l.post <- func() {
			l.work = nil
			after(err)
		}
	}()
}

// advance takes every step that can be taken now and starts what then remains. It may be
// called at any time.
func (l *loop) advance() {
	if l.work != nil || l.leave {
		return
	}
	s, b, err := l.m.rest()
	if err != nil {
		l.stumble(err)
		return
	}
	l.failures = 0
	switch s {
	case stay:
		l.consider(b)
		l.settled()
	case resume:
		if !l.paused {
			l.download(b)
		}
	case await:
		l.await()
	case tell, reboot:
		l.goOn(s, b)
	case probe:
		l.try(b)
	case retreat:
		l.askReboot(b)
	case hold:
		l.trouble(unclear(b))
	}
	l.watch()
	l.report(b)
}

// goOn is the way into the trial, as long as the window is open.
func (l *loop) goOn(s step, b boot.State) {
	switch {
	case l.m.late():
		l.withdraw()
	case s == tell:
		l.prove()
	default:
		l.askReboot(b)
	}
}

// settled: there may be nothing more to do.
func (l *loop) settled() {
	if l.work != nil || l.m.state.busy() {
		return
	}
	if l.orphan != nil {
		l.quit(l.orphan)
	}
	if len(l.m.unsent) > 0 {
		l.pause(l.o.Retry.wait(1, l.o.Rand))
	}
}

// stumble: the agent's own files or the bootloader failed. What runs goes on; everything is
// tried again later.
func (l *loop) stumble(err error) {
	l.failures++
	l.trouble(err)
	l.pause(l.o.Retry.wait(l.failures, l.o.Rand))
}

// pause lets time pass before the next try.
func (l *loop) pause(d time.Duration) {
	l.paused = true
	l.retry.Reset(d)
}

// trouble tells what is in the way. It is kept when it is of a new kind, so that the words of
// a trouble that comes again and again do not wear the medium out.
func (l *loop) trouble(err error) {
	was, reason, text := l.m.state.Trouble, ReasonOf(err), wire.Text(err.Error())
	if was != nil && was.Reason == reason {
		if was.Text != text {
			l.o.Log.Warn("trouble", "reason", reason, "error", err)
			l.m.state.Trouble = &trouble{reason, text, was.Since}
		}
		return
	}
	l.o.Log.Error("trouble", "reason", reason, "error", err)
	l.setTrouble(&trouble{reason, text, l.now()})
}

func (l *loop) setTrouble(t *trouble) {
	next := l.m.state
	next.Trouble = t
	if err := l.m.save(next); err != nil {
		l.m.state = next // in memory it stands; the next transition keeps it
	}
	l.status()
}

// calm: the way is free again.
func (l *loop) calm() {
	if l.m.state.Trouble != nil && !l.m.state.moving() {
		l.setTrouble(nil)
	}
}

// askReboot leaves the loop for a reboot.
func (l *loop) askReboot(b boot.State) {
	again, err := l.m.ask(l.isReached())
	if err != nil {
		l.stumble(err)
		return
	}
	if !again {
		l.trouble(refuse(BootFailed, "slot %s is given up, and the reboot out of it was asked for %d times and did not come: reboot by hand", b.Running, maxAsked))
		return
	}
	l.quit(ErrReboot)
}

func (l *loop) isReached() bool {
	select {
	case <-l.reached:
		return true
	default:
		return false
	}
}
