package director

import (
	"context"
	"slices"

	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Preview is what a rollout would do.
type Preview struct {
	ID       string // to start it so
	Phases   []PreviewPhase
	Already  PreviewPart   // they run the release, or one above it
	Excluded []PreviewPart // by reason
	Others   int64         // devices of the tenant with other products, which are not looked at
}

// PreviewPhase is a phase and who is in it.
type PreviewPhase struct {
	Name string
	Need int // devices that have to commit
	Busy int // devices that another rollout has now
	PreviewPart
}

// PreviewPart is some devices.
type PreviewPart struct {
	Reason  string
	Count   int
	Devices []string // the first of them by id
}

// PreviewRollout says which devices would be in which phase, and who is left out and why. It
// names at most devices of each part.
func (d *Director) PreviewRollout(ctx context.Context, n NewRollout, devices int) (Preview, error) {
	p, err := d.check(ctx, &n)
	if err != nil {
		return Preview{}, err
	}
	var all int64
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		if err := d.plan(tx, n, p); err != nil {
			return err
		}
		t, err := tx.Tenant(n.Tenant)
		all = t.Devices
		return err
	})
	if err != nil {
		return Preview{}, err
	}
	out := Preview{ID: n.ID, Others: all}
	status := p.engine.Status()
	for _, phase := range status.Phases {
		out.Phases = append(out.Phases, PreviewPhase{Name: phase.Name, Need: phase.Need, Busy: phase.Busy})
	}
	excluded := map[string]*PreviewPart{}
	for row := range p.engine.Rows() {
		out.Others--
		switch {
		case row.State == rollout.Already:
			out.Already.add(row.Device)
		case row.Phase >= 0:
			out.Phases[row.Phase].add(row.Device)
		default:
			if excluded[row.Reason] == nil {
				excluded[row.Reason] = &PreviewPart{Reason: row.Reason}
			}
			excluded[row.Reason].add(row.Device)
		}
	}
	for _, part := range excluded {
		out.Excluded = append(out.Excluded, *part)
	}
	out.finish(devices)
	return out, nil
}

func (p *PreviewPart) add(device string) {
	p.Count++
	p.Devices = append(p.Devices, device)
}

// finish sorts and cuts.
func (p *Preview) finish(devices int) {
	cut := func(part *PreviewPart) {
		slices.Sort(part.Devices)
		part.Devices = part.Devices[:min(len(part.Devices), devices)]
	}
	for i := range p.Phases {
		cut(&p.Phases[i].PreviewPart)
	}
	cut(&p.Already)
	slices.SortFunc(p.Excluded, func(a, b PreviewPart) int { return b.Count - a.Count })
	for i := range p.Excluded {
		cut(&p.Excluded[i])
	}
	p.Others = max(p.Others, 0)
}
