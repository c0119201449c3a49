package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// connected: the uplink is open. current is the direction that was accepted last.
func (l *loop) connected(u *uplink, current *direction.Direction) {
	l.up = u
	if current != nil && l.now().Before(current.Expires) {
		l.directed(*current)
	}
	l.advance()
}

// orphaned: nobody knows this device. What is under way goes on; then the agent ends.
func (l *loop) orphaned(err error) {
	l.trouble(err)
	l.orphan = err
	l.advance()
}

// heard takes commands and the state of the connection.
func (l *loop) heard(up *uplink, cmds []wire.Cmd, transport *string) {
	if transport != nil {
		l.transport = *transport
		l.status()
		if *transport != "" {
			l.once.Do(func() { close(l.reached) })
		}
	}
	for _, c := range cmds {
		l.obey(up, c)
	}
}

// lookAtLink lets a person at the device see why the service is not reached.
func (l *loop) lookAtLink() {
	if l.up == nil || l.m.state.moving() {
		return
	}
	s := l.up.link.Status()
	switch t := l.m.state.Trouble; {
	case s.Transport == "" && s.LastError != "" && t == nil:
		l.trouble(refuse(Unavailable, "the service is not reached: %s", s.LastError))
	case s.Transport != "" && t != nil && t.Reason == Unavailable:
		l.calm()
	}
}

// maxAnswered are the commands that are remembered, so that one that comes twice is done once.
const maxAnswered = 32

// obey does what a command asks for, and answers.
func (l *loop) obey(up *uplink, c wire.Cmd) {
	if at := slices.IndexFunc(l.answered, func(r wire.Reply) bool { return r.ID == c.ID }); at >= 0 {
		up.link.Reply(l.answered[at])
		return
	}
	r := wire.Reply{Schema: wire.Schema, ID: c.ID, OK: true}
	switch c.Name {
	case wire.CmdPing:
	case wire.CmdReportNow:
		l.changed()
	case wire.CmdCheck:
		up.link.Poll()
		if l.paused {
			l.retry.Reset(0)
		}
	case wire.CmdPause, wire.CmdResume:
		l.hold(c.Name == wire.CmdPause)
		l.status()
	default:
		r.OK, r.Detail = false, fmt.Sprintf("command %.40q is not known to agent %s", c.Name, l.o.Version)
	}
	l.answered = append(l.answered[max(0, len(l.answered)+1-maxAnswered):], r)
	up.link.Reply(r)
}

// check asks whether the service is reached, as it was before the update.
func (l *loop) check() health.Check {
	return health.Check{Name: "service", Run: func(ctx context.Context) error {
		select {
		case <-l.reached:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s was reached before the update and is not now: %w", l.cfg.Service, context.Cause(ctx))
		}
	}}
}

// changed is called after every transition.
func (l *loop) changed() {
	if b, err := l.boot.State(); err == nil {
		l.report(b)
	}
}

// report tells the service what this device is.
func (l *loop) report(b boot.State) {
	l.status()
	if l.up == nil {
		return
	}
	s, m := l.m.state, l.m
	runs := m.holds(b.Running, b.Running)
	r := wire.Reported{
		Schema: wire.Schema, Time: l.now(), BootID: l.o.BootID, Agent: l.o.Version,
		Product: l.cfg.Product, Hardware: l.cfg.Hardware, Serial: l.cfg.Serial, MAC: l.cfg.MAC,
		Version: runs.Version, Counter: m.floor(), Slot: string(b.Running), State: s.State, Update: s.Update.ID,
		Direction: l.seen, LastError: s.Trouble.String(), Wait: s.waits(l.now()), Offline: l.cloud().Off,
	}
	for _, slot := range []boot.Slot{boot.A, boot.B} {
		_, whole := m.record.Slots[slot]
		r.Slots = append(r.Slots, wire.SlotStatus{
			Name: string(slot), Version: m.holds(slot, b.Running).Version, State: slotState(b, slot, whole),
		})
	}
	l.up.link.Report(r)
}

// slotState is one word for a slot; whole says that it holds an image.
func slotState(b boot.State, s boot.Slot, whole bool) string {
	switch {
	case s == b.Trial:
		return "trial"
	case s == b.Running:
		return "active"
	case b.Of(s).Bootable:
		return "good"
	case b.Of(s).Failed:
		return "bad"
	case whole:
		return "staged"
	}
	return "empty"
}

// status is one line for people.
func (l *loop) status() {
	if l.o.Notify.Status == nil {
		return
	}
	s := l.m.state
	line := string(s.State)
	if s.busy() {
		line = fmt.Sprintf("%s %s %s", s.State, s.Update.Product, s.Update.To)
	}
	if l.transport != "" {
		line += ", connected by " + l.transport
	}
	if w := s.waits(l.now()); w != nil {
		line += ", waits for " + w.For
	}
	if l.throttle.Paused() {
		line += ", paused"
	}
	if s.Trouble != nil {
		line += ", trouble: " + s.Trouble.Text
	}
	l.o.Notify.Status(line)
}

// progress passes the progress of update id on.
func (l *loop) progress(id string) func(install.Progress) {
	up := l.up
	return func(p install.Progress) {
		if l.o.Progress != nil {
			l.o.Progress(p)
		}
		if up == nil {
			return
		}
		w := wire.Progress{
			Schema: wire.Schema, Update: id, State: wire.Downloading, Done: p.Done, Total: p.Total, Rate: p.Rate, Left: int64(p.Left.Seconds()),
		}
		if p.Phase == install.PhaseVerify {
			w.State = wire.Installing
		}
		up.link.Progress(w)
	}
}
