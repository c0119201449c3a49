package director

import (
	"encoding/json"
	"fmt"
	"time"
	_ "time/tzdata" // a server without a time zone database opens windows all the same

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// setup is what never changes of a rollout, beside its plan; it is stored as JSON.
type setup struct {
	Release  pinned  `json:"release"`
	Fallback *pinned `json:"fallback,omitempty"`
}

// pinned is a release as the image repository vouched for it when the rollout was made.
type pinned struct {
	Product  string          `json:"product"`
	Version  string          `json:"version"`
	Counter  int64           `json:"counter"`
	Hardware []string        `json:"hardware"`
	MinAgent string          `json:"min_agent,omitempty"`
	Path     string          `json:"path"`
	Length   int64           `json:"length"`
	SHA256   firmware.Digest `json:"sha256"`
}

func pin(r Release) pinned {
	m, t := r.Manifest, r.Target
	return pinned{Product: m.Product, Version: m.Version, Counter: m.Counter, Hardware: m.Hardware, MinAgent: m.MinAgent,
		Path: t.Path, Length: t.Length, SHA256: t.SHA256}
}

func (p pinned) target() *direction.Target {
	return &direction.Target{Path: p.Path, Length: p.Length, SHA256: p.SHA256, Counter: p.Counter}
}

func (p pinned) release() rollout.Release {
	return rollout.Release{Product: p.Product, Version: p.Version, Counter: p.Counter, Hardware: p.Hardware}
}

// engine is the setup in the engine's words.
func (s setup) engine(id string, plan rollout.Spec) rollout.Setup {
	out := rollout.Setup{ID: id, Spec: plan, Release: s.Release.release(), Zone: time.LoadLocation}
	if s.Fallback != nil {
		f := s.Fallback.release()
		out.Fallback = &f
	}
	return out
}

// readSetup is a stored rollout's setup and plan.
func readSetup(row store.Rollout) (s setup, plan rollout.Spec, err error) {
	if err = json.Unmarshal(row.Setup, &s); err == nil {
		plan, err = rollout.Parse(row.Spec)
	}
	if err != nil {
		err = fmt.Errorf("stored rollout %s: %w", row.ID, err)
	}
	return s, plan, err
}

// standing is how a rollout stands, as it is stored. Turn grows with every turn that changes
// anything: who remembers a rollout at the same turn remembers it rightly.
type standing struct {
	rollout.Head
	Turn   int64          `json:"turn"`
	Status rollout.Status `json:"status"`
}

func readStanding(row store.Rollout) (s standing, err error) {
	if err = json.Unmarshal(row.Head, &s); err != nil {
		err = fmt.Errorf("stored rollout %s: %w", row.ID, err)
	}
	return s, err
}

// Why a device cannot take part, beside what the engine finds.
const (
	UnfitRevoked  = "revoked"
	UnfitCloudOff = "cloud_off"
	UnfitAgent    = RefusedAgent
)

// device is m in the engine's words.
func (s setup) device(m store.Member) rollout.Device {
	d := rollout.Device{ID: m.ID, Product: m.Product, Hardware: m.Hardware, Version: m.Version, Counter: m.Counter, Group: m.Group, Zone: m.Zone}
	switch {
	case m.Revoked:
		d.Unfit = UnfitRevoked
	case m.CloudOff:
		d.Unfit = UnfitCloudOff
	case agentTooOld(m.Agent, s.Release.MinAgent):
		d.Unfit = UnfitAgent
	}
	return d
}

// agentTooOld is false where it is not known.
func agentTooOld(agent, least string) bool {
	if agent == "" || least == "" {
		return false
	}
	ok, err := firmware.AgentAtLeast(agent, least)
	return err == nil && !ok
}
