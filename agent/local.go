package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
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
	Took
}

func (m *machine) outcome() Outcome {
	u := m.state.Update
	return Outcome{
		State: m.state.State, Update: u.ID, Product: u.Product, From: u.From, To: u.To, Counter: u.Release.Counter,
		Slot: u.Slot, Reason: u.Reason, Detail: u.Detail, Took: u.Took,
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
	if err := s.clear(ctx); err != nil {
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
func (s *session) clear(ctx context.Context) error {
	step, b, err := s.m.rest()
	if err == nil && step == tell && !s.m.late() {
		step, b, err = s.tellAgain(ctx)
	}
	if err != nil {
		return err
	}
	u := s.m.state.Update
	switch step {
	case stay:
		return nil
	case resume, await:
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

// tellAgain goes on where an installation ended after it had verified the slot, and before the bootloader was told: the slot is
// read back once more. If that fails, the update is over.
func (s *session) tellAgain(ctx context.Context) (step, boot.State, error) {
	err := s.readBack(ctx, s.m.state.Update, s.o.Progress)
	switch {
	case errors.Is(err, context.Canceled):
		return tell, boot.State{}, err
	case err != nil:
		err = s.m.finish(ReasonOf(err), err.Error())
	default:
		s.m.proven = true
	}
	if err != nil {
		return tell, boot.State{}, err
	}
	return s.m.rest()
}

// readBack reads the slot of an update, and compares it with the image.
func (s *session) readBack(ctx context.Context, u update, progress func(install.Progress)) error {
	slot, err := s.o.OpenSlot(s.cfg.Slots.Path(u.Slot), install.SlotOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer slot.Close()
	return install.VerifySlot(ctx, slot, u.Release.Image, progress)
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
	id, err := uuid.NewRandomFromReader(s.o.Names)
	if err != nil {
		return err
	}
	err = s.m.begin(update{
		ID: id.String(), Local: true, Product: s.cfg.Product, From: s.m.holds(b.Running, b.Running).Version, To: version,
		Target: target{Path: path},
	})
	if err != nil {
		return err
	}
	a := s.newAttempt(b, repo, source)
	a.chosen = func(m *firmware.Manifest) error { return s.m.chosen(m, a.slot) }
	a.identified = func(image firmware.Blob) error { return s.m.identified(a.runs, image) }
	a.verify, a.progress = s.m.verifying, s.o.Progress
	result, err := a.run(ctx)
	noted := s.m.note(func(u *update) { u.Took = u.Took.and(result) })
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
