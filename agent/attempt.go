package agent

import (
	"context"
	"errors"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// errAlready: the release runs already.
var errAlready = errors.New("the release runs already")

// attempt is one try at a download: policy, then installation. It works on copies; what
// belongs to the machine's owner is reached by the functions.
type attempt struct {
	*session
	wish   wish
	device device
	slot   boot.Slot
	runs   Release // in the other slot
	source client.Source
	repo   *client.Client
	base   Base // nil for none; while it runs

	chosen     func(*firmware.Manifest) error // the policy has agreed; nothing is written yet
	identified func(firmware.Blob) error      // what runs, of which that was not known
	verify     func() error                   // the slot is about to be read back
	progress   func(install.Progress)
}

// run installs, or says why not. The slot is durable and read back when it returns nil.
func (a *attempt) run(ctx context.Context) (install.Result, error) {
	slot, err := a.o.OpenSlot(a.cfg.Slots.Path(a.slot), install.SlotOptions{
		Active: a.cfg.Slots.Path(a.slot.Other()), Capacity: a.cfg.SlotSize,
	})
	if err != nil {
		return install.Result{}, err
	}
	defer slot.Close()
	a.device.capacity = slot.Capacity()
	if a.base = a.openBase(); a.base != nil {
		defer a.base.Close()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what was asked for and not wanted
	m, err := decide(ctx, a.wish, a.device, expectant{a.repo, a})
	if err != nil {
		return install.Result{}, err
	}
	if a.runs.is(m) {
		return install.Result{}, errAlready
	}
	a.askFirst(ctx, m) // what chosen writes takes a while on a slow disk
	if err := a.chosen(m); err != nil {
		return install.Result{}, err
	}
	return a.install(ctx, m, slot)
}

func (a *attempt) install(ctx context.Context, m *firmware.Manifest, slot install.Device) (install.Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	verifying := false
	p := install.Plan{
		Manifest: m, Source: a.source, Target: slot, Slot: string(a.slot), Journal: a.path(journalName), Disk: a.o.Disk,
		Throttle: &a.throttle, Limits: a.o.Limits, Log: a.o.Log, Rand: a.o.Rand, Shared: a.o.Frames,
		Progress: func(p install.Progress) {
			if p.Phase == install.PhaseVerify && !verifying {
				verifying = true
				if err := a.verify(); err != nil {
					cancel(err)
				}
			}
			if a.progress != nil {
				a.progress(p)
			}
		},
	}
	if a.base != nil {
		p.Base, p.BaseImage = a.base, a.baseImage(ctx, m)
	}
	if a.o.Spare != nil {
		a.o.Spare()
	}
	return install.Run(ctx, p)
}

func releaseOf(m *firmware.Manifest) Release {
	return Release{Product: m.Product, Version: m.Version, Counter: m.Counter, Image: m.Image}
}

// newAttempt copies what an attempt at the present update needs.
func (s *session) newAttempt(b boot.State, repo *client.Client, source client.Source) *attempt {
	u := s.m.state.Update
	return &attempt{
		session: s, repo: repo, source: source, slot: inactive(b), runs: s.m.holds(b.Running, b.Running),
		wish: wish{hardware: u.Hardware, target: u.Target, local: u.Local},
		device: device{
			product: s.cfg.Product, hardware: s.cfg.Hardware, channel: s.cfg.Channel, agent: s.o.Version, floor: s.m.floor(),
		},
	}
}

// is says whether r is the release of m.
func (r Release) is(m *firmware.Manifest) bool {
	return r.Image == m.Image && r.Version == m.Version && r.Counter == m.Counter
}
