package agent

import (
	"cmp"
	"context"
	"fmt"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// repository is the image repository as the policy needs it.
type repository interface {
	// Refresh brings the trusted metadata up to date, or says why it is not to be trusted.
	Refresh(ctx context.Context) error
	// Target is what the role of the path's product says of it.
	Target(ctx context.Context, path string) (client.Target, error)
	// Manifest fetches the target and checks it against length and hash.
	Manifest(ctx context.Context, t client.Target) (*firmware.Manifest, error)
}

// wish is what somebody wants installed: the director, or a person at the device.
type wish struct {
	hardware string // that the director took this device for; "" from a person
	target   target // of a person: the path, and nothing else
	local    bool
}

// device is what a release must fit.
type device struct {
	product, hardware string
	channel           firmware.Channel // "" is stable
	agent             string           // version
	floor             int64            // lowest release counter
	capacity          int64            // bytes of the slot to be written
}

// decide is the policy: install w, or not and why not. Everything it looks at is verified
// by then; nothing it does changes the device.
func decide(ctx context.Context, w wish, d device, repo repository) (*firmware.Manifest, error) {
	if !w.local && w.hardware != d.hardware {
		return nil, refuse(WrongHardware, "the director takes this device for %q, it is %q: correct the director's record", w.hardware, d.hardware)
	}
	if err := repo.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("refresh the repository's metadata: %w", err)
	}
	found, err := repo.Target(ctx, w.target.Path)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", w.target.Path, err)
	}
	if err := agree(w, found); err != nil {
		return nil, err
	}
	if own := cmp.Or(d.channel, firmware.Stable); !own.Takes(cmp.Or(found.Channel, firmware.Stable)) {
		return nil, refuse(WrongChannel, "%s is in channel %s, this device takes %s: wait until it is promoted, or set \"channel\" in the device's configuration",
			found.Path, found.Channel, own)
	}
	m, err := repo.Manifest(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("fetch the manifest %s: %w", w.target.Path, err)
	}
	if !w.local && m.Counter != w.target.Counter {
		return nil, refuse(Disagree, "the director directs release counter %d, the manifest has %d", w.target.Counter, m.Counter)
	}
	return m, fits(m, found.Path, d)
}

// agree: what both repositories say of the target must be the same.
func agree(w wish, found client.Target) error {
	if w.local {
		return nil
	}
	t := w.target
	if found.Path != t.Path || found.Length != t.Length || found.SHA256 != t.SHA256 {
		return refuse(Disagree, "director and image repository do not agree on %s: %d bytes, SHA-256 %v there, %d bytes, %v here",
			t.Path, t.Length, t.SHA256, found.Length, found.SHA256)
	}
	return nil
}

// fits: the release must be for this device, as it is now.
func fits(m *firmware.Manifest, path string, d device) error {
	switch {
	case m.Product != d.product:
		return refuse(WrongProduct, "the release is for product %s, this device is a %s", m.Product, d.product)
	case firmware.TargetPath(m.Product, m.Version) != path:
		return refuse(Disagree, "the manifest under %s says it is %s %s", path, m.Product, m.Version)
	case !m.Fits(d.hardware):
		return refuse(WrongHardware, "%s %s is for hardware %q, this device is %s", m.Product, m.Version, m.Hardware, d.hardware)
	case m.Counter < d.floor:
		return refuse(OlderRelease, "%s %s has release counter %d, this device does not go below %d: publish a release with a higher counter",
			m.Product, m.Version, m.Counter, d.floor)
	case m.Image.Length > d.capacity:
		return refuse(SlotTooSmall, "the image has %d bytes, the slot takes %d", m.Image.Length, d.capacity)
	}
	// An agent of unknown version is too old for whatever asks for one.
	if ok, _ := firmware.AgentAtLeast(d.agent, m.MinAgent); m.MinAgent != "" && !ok {
		return refuse(AgentTooOld, "%s %s wants agent %s or newer, this is %q: install a release in between",
			m.Product, m.Version, m.MinAgent, d.agent)
	}
	return nil
}
