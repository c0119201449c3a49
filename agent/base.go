package agent

import (
	"context"

	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/firmware"
)

// base opens the slot that runs, if the release has a patch from what it holds. Whatever goes wrong costs a patch: nil.
func (a *attempt) base(ctx context.Context, m *firmware.Manifest) (*install.Base, firmware.Blob) {
	if len(m.Patches) == 0 {
		return nil, firmware.Blob{}
	}
	b, err := install.OpenBase(a.cfg.Slots.Path(a.slot.Other()))
	if err != nil {
		a.o.Log.Warn("install without a patch", "error", err)
		return nil, firmware.Blob{}
	}
	image := a.runs.Image
	if image.Length == 0 {
		image = a.identify(ctx, b, m)
	}
	for _, p := range m.Patches {
		if p.From == image {
			return b, image
		}
	}
	a.o.Log.Info("no patch is for the release that runs", "version", a.runs.Version, "patches", len(m.Patches))
	_ = b.Close()
	return nil, firmware.Blob{}
}

// identify finds out what a slot holds that no update has written: the image that the device was delivered with.
func (a *attempt) identify(ctx context.Context, b *install.Base, m *firmware.Manifest) firmware.Blob {
	var images []firmware.Blob
	for _, p := range m.Patches {
		images = append(images, p.From)
	}
	image, err := b.Identify(ctx, images)
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
