package agent

import (
	"context"

	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
)

// openBase opens the slot that runs: for the patch from what it holds, if there is one, else for what it has in common with
// the release. Whatever goes wrong costs bytes, no more: nil.
func (a *attempt) openBase() Base {
	b, err := a.o.OpenBase(a.cfg.Slots.Path(a.slot.Other()))
	if err != nil {
		a.o.Log.Warn("install without what the running slot holds", "error", err)
		return nil
	}
	return b
}

// baseImage is what the base holds, as far as it is of use to know.
func (a *attempt) baseImage(ctx context.Context, m *firmware.Manifest) firmware.Blob {
	if len(m.Patches) > 0 && a.runs.Image.Length == 0 {
		return a.identify(ctx, a.base, m)
	}
	return a.runs.Image
}

// identify finds out what a slot holds that no update has written: the image that the device was delivered with.
func (a *attempt) identify(ctx context.Context, b Base, m *firmware.Manifest) firmware.Blob {
	var images []firmware.Blob
	for _, p := range m.Patches {
		images = append(images, p.From)
	}
	image, err := install.Identify(ctx, b, images)
	if err == nil && image.Length > 0 {
		err = a.identified(image)
	}
	if err != nil {
		a.o.Log.Warn("find out which image runs", "error", err)
	}
	return image
}

// identified keeps which image the running slot holds.
func (m *machine) identified(runs Release, image firmware.Blob) error {
	b, err := m.boot.State()
	if err != nil {
		return err
	}
	runs.Image = image
	return m.keep(func(r *record) { r.Slots[b.Running] = runs })
}
