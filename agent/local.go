package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// Outcome is where an update stands after a command.
type Outcome struct {
	State   wire.State `json:"state"`
	Update  string     `json:"update,omitempty"`
	Product string     `json:"product,omitempty"`
	From    string     `json:"from,omitempty"`
	To      string     `json:"to,omitempty"`
	Counter int64      `json:"counter,omitempty"`
	Slot    boot.Slot  `json:"slot,omitempty"` // written, or on trial
	Reason  Reason     `json:"reason,omitempty"`
	Detail  string     `json:"detail,omitempty"`
	Fetched int64      `json:"fetched,omitempty"` // bytes
	Written int64      `json:"written,omitempty"` // bytes
}

func (m *machine) outcome() Outcome {
	u := m.state.Update
	return Outcome{
		State: m.state.State, Update: u.ID, Product: u.Product, From: u.From, To: u.To, Counter: u.Release.Counter,
		Slot: u.Slot, Reason: u.Reason, Detail: u.Detail, Fetched: u.Fetched, Written: u.Written,
	}
}

// Install installs a release without the director: a person at the device decides which.
// Everything else is as ever: the image repository's signatures, expiries and floors, what
// the device is, and the release counter. source is a packed repository (.zip), the folder
// of one, or its https address. An empty version means the one with the highest counter
// that is for this device.
//
// ErrReboot when the slot is ready and the bootloader will try it; ErrNothing when the
// device has that release; the Reason of other errors says why not.
func (a *Agent) Install(ctx context.Context, source, version string) (Outcome, error) {
	s, err := a.open()
	if err != nil {
		return Outcome{}, err
	}
	defer s.close()
	if err := s.clear(); err != nil {
		return s.m.outcome(), err
	}
	src, closeSource, err := s.openSource(source)
	if err != nil {
		return Outcome{}, err
	}
	defer closeSource()
	repo, err := s.openRepository(src)
	if err != nil {
		return Outcome{}, err
	}
	defer repo.Close()
	path, err := s.pick(ctx, repo, version)
	if err != nil {
		return Outcome{}, err
	}
	err = s.installLocal(ctx, path, repo, src)
	return s.m.outcome(), err
}

// clear makes way for a local installation.
func (s *session) clear() error {
	step, b, err := s.m.rest()
	if err != nil {
		return err
	}
	u := s.m.state.Update
	switch step {
	case stay:
		return nil
	case resume:
		return s.m.finish(Superseded, "a local installation takes its place")
	case tell, reboot:
		return fmt.Errorf("%w: %s %s is installed in slot %s and waits for it; or fairlead-agent rollback first", ErrReboot, u.Product, u.To, u.Slot)
	case retreat:
		return fmt.Errorf("%w: slot %s is given up", ErrReboot, b.Running)
	case probe:
		return refuse(Busy, "slot %s is on trial with %s %s: fairlead-agent commit or rollback first", b.Running, u.Product, u.To)
	}
	return unclear(b)
}

// unclear is why nothing is done while bootloader and system do not agree.
func unclear(b boot.State) error {
	return refuse(Busy, "slot %q runs and slot %q is committed: reboot to return to it, or keep what runs with fairlead-agent commit", b.Running, b.Committed)
}

// pick chooses the release to install: its target path.
func (s *session) pick(ctx context.Context, repo *client.Client, version string) (string, error) {
	if version != "" {
		return firmware.TargetPath(s.cfg.Product, version), firmware.CheckVersion(version)
	}
	if err := repo.Refresh(ctx); err != nil {
		return "", fmt.Errorf("refresh the repository's metadata: %w", err)
	}
	targets, err := repo.Targets(ctx, s.cfg.Product)
	if err != nil {
		return "", fmt.Errorf("list the releases of %s: %w", s.cfg.Product, err)
	}
	best, counter := "", int64(0)
	for _, t := range targets {
		if c, fits := s.offered(t); fits && c > counter {
			best, counter = t.Path, c
		}
	}
	if best == "" {
		return "", refuse(NoTarget, "none of the %d releases of %s is for hardware %s", len(targets), s.cfg.Product, s.cfg.Hardware)
	}
	return best, nil
}

// offered reads what the product role says of a release. The manifest has the last word.
func (s *session) offered(t client.Target) (counter int64, fits bool) {
	var said struct {
		Counter  int64    `json:"counter"`
		Hardware []string `json:"hardware"`
	}
	if err := strictjson.Decode(t.Custom, strictjson.Options{}, &said); err != nil {
		return 0, false
	}
	m := firmware.Manifest{Hardware: said.Hardware}
	return said.Counter, m.Fits(s.cfg.Hardware)
}

// installLocal is one attempt, begun and ended on the spot.
func (s *session) installLocal(ctx context.Context, path string, repo *client.Client, source client.Source) error {
	b, err := s.boot.State()
	if err != nil {
		return err
	}
	_, version, err := firmware.ParseTargetPath(path)
	if err != nil {
		return err
	}
	err = s.m.begin(update{
		ID: uuid.NewString(), Local: true, Product: s.cfg.Product, From: s.m.holds(b.Running, b.Running).Version, To: version,
		Target: target{Path: path},
	})
	if err != nil {
		return err
	}
	a := s.newAttempt(b, repo, source)
	a.chosen = func(r Release) error {
		r.Update = s.m.state.Update.ID
		return s.m.chosen(r, a.slot)
	}
	a.verify, a.progress = s.m.verifying, s.o.Progress
	result, err := a.run(ctx)
	noted := s.m.note(func(u *update) { u.Fetched, u.Written = result.Fetched, result.Written })
	return s.installed(cmp.Or(err, noted))
}

// installed ends a local attempt.
func (s *session) installed(err error) error {
	switch {
	case errors.Is(err, errAlready):
		return errors.Join(ErrNothing, s.m.end(wire.Committed, "", err.Error()))
	case errors.Is(err, context.Canceled):
		return errors.Join(err, s.m.finish(Superseded, "interrupted at the command line: begin again, it continues where it stopped"))
	case err != nil:
		return errors.Join(err, s.m.finish(ReasonOf(err), err.Error()))
	}
	if err := s.m.verified(); err != nil {
		return err
	}
	step, b, err := s.m.rest()
	if err == nil && step != reboot {
		err = fmt.Errorf("the bootloader does not take the trial: it says %+v", b)
	}
	return cmp.Or(err, ErrReboot)
}

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
	case resume:
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
	Direction int64     `json:"direction"` // version; 0 if nothing was ever directed
	Expires   time.Time `json:"expires,omitzero"`
	Update    string    `json:"update,omitempty"`
	Release   string    `json:"release,omitempty"` // target path
	Counter   int64     `json:"counter,omitempty"`
	Ended     bool      `json:"ended,omitempty"` // the update was tried already
	Running   string    `json:"running"`         // version that runs
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
	o.Release, o.Counter = d.Target.Path, d.Target.Counter
	at := s.newAttempt(b, up.repo, up.source)
	at.device.capacity = math.MaxInt64
	m, err := decide(ctx, wish{hardware: d.Hardware, target: target(*d.Target)}, at.device, up.repo)
	if err == nil && (o.Ended || at.runs.is(m)) {
		err = ErrNothing
	}
	return o, err
}

// is says whether r is the release of m.
func (r Release) is(m *firmware.Manifest) bool {
	return r.Image == m.Image && r.Version == m.Version && r.Counter == m.Counter
}
