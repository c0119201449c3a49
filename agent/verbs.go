package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// Reboot asks for the reboot that Install, Rollback or the daemon left to the caller.
func (a *Agent) Reboot(ctx context.Context) error {
	if a.o.Reboot == nil {
		return ErrReboot
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	_, err = s.m.ask(false)
	if err := errors.Join(err, s.close()); err != nil {
		return err
	}
	return a.o.Reboot(ctx)
}

// Commit keeps what runs: the release on trial, without its checks, or a slot that was
// picked by hand. ErrNothing if what runs is committed.
func (a *Agent) Commit() (Outcome, error) {
	s, err := a.open()
	if err != nil {
		return Outcome{}, err
	}
	defer s.close()
	step, b, err := s.m.rest()
	if err != nil {
		return Outcome{}, err
	}
	switch step {
	case stay, resume:
		err = ErrNothing
	case probe:
		err = s.m.commit()
	case hold:
		err = s.m.keepRunning(b)
	case retreat:
		err = refuse(Health, "slot %s was given up (%s): reboot", b.Running, s.m.state.Update.Detail)
	case await:
		err = refuse(Busy, "%s is in slot %s and waits, see fairlead-agent status: answer yes, or wait for its window", s.m.state.Update.To, s.m.state.Update.Slot)
	default:
		err = refuse(Busy, "%s runs in slot %s only after a reboot", s.m.state.Update.To, s.m.state.Update.Slot)
	}
	return s.m.outcome(), err
}

// keepRunning commits a slot that was picked by hand, if anything is known of it.
func (m *machine) keepRunning(b boot.State) error {
	r, known := m.record.Slots[b.Running]
	if !known {
		return refuse(Busy, "slot %q is not known to hold a whole release: reboot to return to slot %q", b.Running, b.Committed)
	}
	if err := m.boot.Commit(b.Running); err != nil {
		return err
	}
	return m.keep(func(rec *record) { rec.Counter = max(m.floor(), r.Counter) })
}

// Rollback gives up what is under way: a trial (ErrReboot: the old slot runs after it), an
// installation that waits for its reboot, a download. ErrNothing if nothing is under way:
// what was committed stays.
func (a *Agent) Rollback() (Outcome, error) {
	s, err := a.open()
	if err != nil {
		return Outcome{}, err
	}
	defer s.close()
	step, b, err := s.m.rest()
	if err != nil {
		return Outcome{}, err
	}
	const detail = "given up by an operator at the device"
	switch step {
	case stay:
		err = ErrNothing
	case resume, await:
		err = s.m.finish(Superseded, detail)
	case tell, reboot:
		if err = s.boot.Cancel(); err == nil {
			err = s.m.finish(Superseded, detail)
		}
	case probe:
		if err = s.m.condemn(Superseded, detail); err == nil {
			err = cmp.Or(s.boot.Cancel(), ErrReboot)
		}
	case retreat:
		err = ErrReboot
	default:
		err = unclear(b)
	}
	return s.m.outcome(), err
}

// Play plays the bootloader at a start of the device, where the configuration has one of
// type file, and returns the slot to start. The error beside a slot tells what could not be
// read or written.
func (a *Agent) Play() (boot.Slot, error) {
	f, ok := a.boot.(*boot.File)
	if !ok {
		return "", errors.New("the bootloader of this device plays for itself")
	}
	s, err := a.open()
	if err != nil {
		return "", err
	}
	defer s.close()
	return f.Boot()
}

// Offer is what the director asks this device to install.
type Offer struct {
	Direction int64          `json:"direction"` // version; 0 if nothing was ever directed
	Expires   time.Time      `json:"expires,omitzero"`
	Update    string         `json:"update,omitempty"`
	Release   string         `json:"release,omitempty"` // target path
	Counter   int64          `json:"counter,omitempty"`
	Kind      direction.Kind `json:"kind,omitempty"`  // how it is to be taken; empty: forced
	Ended     bool           `json:"ended,omitempty"` // the update was tried already
	Running   string         `json:"running"`         // version that runs
	// Metadata is what is trusted of the image repository.
	Metadata client.Versions `json:"metadata"`
}

// Check asks the director and the image repository, and changes nothing but what is known of
// them. ErrNothing if there is nothing new to install; an error with a Reason if there is and
// it would be refused. Room in the slot is not looked at.
func (a *Agent) Check(ctx context.Context) (Offer, error) {
	id, err := a.loadIdentity()
	if err != nil {
		return Offer{}, err
	}
	if !a.enabled() {
		return Offer{}, fmt.Errorf("%w: the cloud connection is switched off", ErrNotEnrolled)
	}
	s, err := a.open()
	if err != nil {
		return Offer{}, err
	}
	defer s.close()
	up, err := newLoop(s).openUplink(id)
	if err != nil {
		return Offer{}, err
	}
	defer up.close()
	return s.check(ctx, up)
}

func (s *session) check(ctx context.Context, up *uplink) (Offer, error) {
	b, err := s.boot.State()
	if err != nil {
		return Offer{}, err
	}
	o := Offer{Running: s.m.holds(b.Running, b.Running).Version}
	raw, err := up.link.Direction(ctx)
	if err != nil {
		return o, err
	}
	if err := up.repo.Refresh(ctx); err != nil {
		return o, fmt.Errorf("refresh the repository's metadata: %w", err)
	}
	if o.Metadata = up.repo.Versions(); raw == nil {
		return o, ErrNothing
	}
	d, err := up.director.Accept(ctx, raw)
	if err != nil {
		return o, fmt.Errorf("direction: %w", err)
	}
	o.Direction, o.Expires, o.Update, o.Ended = d.Version, d.Expires, d.Update, s.m.state.ended(d.Update)
	if d.Target == nil {
		return o, ErrNothing
	}
	o.Release, o.Counter, o.Kind = d.Target.Path, d.Target.Counter, d.Kind
	at := s.newAttempt(b, up.repo, up.source)
	at.device.capacity = math.MaxInt64
	m, err := decide(ctx, wish{hardware: d.Hardware, target: target(*d.Target)}, at.device, up.repo)
	if err == nil && (o.Ended || at.runs.is(m)) {
		err = ErrNothing
	}
	return o, err
}
