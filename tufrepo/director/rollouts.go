package director

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// NewRollout is a rollout that an operator asks for.
type NewRollout struct {
	// ID is a UUID, empty for any. The order of devices follows from it: a preview with an ID
	// shows what a rollout of this ID will do.
	ID       string
	Tenant   string
	Creator  string // for people
	Plan     []byte // JSON, see rollout.Parse
	Product  string
	Version  string
	Fallback string // version to go back to; empty for none
}

// firstTurn is the number of a rollout that has had no turn.
const firstTurn = 1

// NewRolloutID makes an ID.
func NewRolloutID() string { return uuid.NewString() }

// planned is a rollout that was checked and is not stored.
type planned struct {
	row    store.Rollout
	setup  setup
	plan   rollout.Spec
	engine *rollout.Rollout
}

// StartRollout stores a rollout and takes its first turn. An error of the first turn does
// not undo it: the loop takes it again.
func (d *Director) StartRollout(ctx context.Context, n NewRollout) (Rollout, error) {
	p, err := d.check(ctx, &n)
	if err != nil {
		return Rollout{}, err
	}
	m := d.mind(n.ID)
	m.mu.Lock()
	err = auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := d.plan(tx, n, p); err != nil {
			return err
		}
		head, _, rows := p.engine.Changes()
		if err := p.fill(standing{head, firstTurn, p.engine.Status()}, d.Clock()); err != nil {
			return err
		}
		if err := tx.AddRollout(p.row); err != nil {
			return err
		}
		return tx.SetRolloutRows(n.ID, toRows(rows))
	})
	if err == nil {
		m.engine, m.turn, m.setup, m.plan, m.held, m.asked = p.engine, firstTurn, p.setup, p.plan, map[string]bool{}, d.Clock()
	}
	m.mu.Unlock()
	if errors.Is(err, store.ErrConflict) {
		return Rollout{}, refuse(wire.CodeConflict, "rollout %s exists already", n.ID)
	}
	if err != nil {
		return Rollout{}, err
	}
	d.Log.Info("rollout made", "rollout", n.ID, "tenant", n.Tenant, "release", n.Product+"/"+n.Version, "creator", n.Creator)
	if _, err := d.turn(ctx, n.ID, nil); err != nil {
		d.Log.Error("the first turn of a rollout failed and will be taken again", "rollout", n.ID, "error", err)
	}
	d.nudge()
	return d.Rollout(ctx, n.Tenant, n.ID)
}

// fill makes the row.
func (p *planned) fill(s standing, now time.Time) error {
	head, err := json.Marshal(s)
	p.row.Head, p.row.Run, p.row.Created, p.row.Next = head, string(s.Run), now, now
	return err
}

// check resolves the releases and reads the plan. It fills in the ID.
func (d *Director) check(ctx context.Context, n *NewRollout) (*planned, error) {
	if n.ID == "" {
		n.ID = uuid.NewString()
	}
	if u, err := uuid.Parse(n.ID); err != nil || u.String() != n.ID {
		return nil, refuse(wire.CodeBadRequest, "id %.40q is not a UUID", n.ID)
	}
	plan, err := rollout.Parse(n.Plan)
	if err != nil {
		return nil, refuse(wire.CodeBadRequest, "%v", err)
	}
	rel, err := d.Releases.Release(ctx, n.Product, n.Version)
	if err != nil {
		return nil, err
	}
	p := &planned{plan: plan, setup: setup{Release: pin(rel)}}
	if n.Fallback != "" {
		back, err := d.Releases.Release(ctx, n.Product, n.Fallback)
		if err != nil {
			return nil, err
		}
		pinned := pin(back)
		p.setup.Fallback = &pinned
	}
	body, err := json.Marshal(p.setup)
	p.row = store.Rollout{ID: n.ID, Tenant: n.Tenant, Creator: n.Creator, Spec: n.Plan, Setup: body}
	return p, err
}

// plan sorts the tenant's devices into the phases.
func (d *Director) plan(tx *store.Tx, n NewRollout, p *planned) error {
	if _, err := tx.Tenant(n.Tenant); err != nil {
		return notFound(err, "tenant %s does not exist", n.Tenant)
	}
	if err := mayFallBack(tx, n); err != nil {
		return err
	}
	if err := groupsExist(tx, n.Tenant, p.plan); err != nil {
		return err
	}
	held, err := tx.HeldDevices(n.Tenant)
	if err != nil {
		return err
	}
	busy := make(map[string]bool, len(held))
	for _, id := range held {
		busy[id] = true
	}
	var devices []rollout.Device
	err = tx.EachMember(n.Tenant, n.Product, func(m store.Member) error {
		dev := p.setup.device(m)
		dev.Busy = busy[m.ID]
		devices = append(devices, dev)
		return nil
	})
	if err != nil {
		return err
	}
	if p.engine, err = rollout.New(p.setup.engine(n.ID, p.plan), devices); err != nil {
		return refuse(wire.CodeBadRequest, "%v", err)
	}
	return nil
}

func mayFallBack(tx *store.Tx, n NewRollout) error {
	if n.Fallback == "" {
		return nil
	}
	s, err := tx.Settings(n.Tenant)
	if err == nil && !s.RollBack {
		err = refuse(wire.CodeConflict, "tenant %s does not allow rolling back: its settings must say so first", n.Tenant)
	}
	return err
}

// groupsExist looks for slips of the pen: a phase for a group that nobody knows is empty.
func groupsExist(tx *store.Tx, tenant string, plan rollout.Spec) error {
	var named []string
	for _, p := range plan.Phases {
		named = append(named, p.Groups...)
	}
	if len(named) == 0 {
		return nil
	}
	all, err := tx.Groups(tenant)
	if err != nil {
		return err
	}
	for _, name := range named {
		if !slices.ContainsFunc(all, func(g store.Group) bool { return g.Path == name }) {
			return refuse(wire.CodeBadRequest, "the plan names group %s, which tenant %s does not have", name, tenant)
		}
	}
	return nil
}
