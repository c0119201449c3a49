package service

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

const rolloutsPath = "/api/v1/tenants/{tenant}/rollouts"

func (s *Service) rolloutRoutes() []operatorRoute {
	const t = rolloutsPath
	return append([]operatorRoute{
		{pattern: "POST " + t, permission: access.RolloutWrite, action: audit.RolloutAdd, handle: s.postRollout,
			about: "make a rollout from a plan, and begin it", in: api.NewRollout{}, out: api.Rollout{}},
		{pattern: "POST " + t + "/preview", permission: access.RolloutRead, handle: s.postPreview,
			about: "which devices would be in which phase, and who is left out and why", query: []string{"devices"}, in: api.NewRollout{}, out: api.Preview{}},
		{pattern: "GET " + t, permission: access.RolloutRead, handle: s.getRollouts,
			about: "list rollouts, the newest first", query: []string{"open", "run", "device", "limit"}, out: api.Rollouts{}},
		{pattern: "GET " + t + "/{id}", permission: access.RolloutRead, handle: s.getRollout,
			about: "how a rollout stands", out: api.Rollout{}},
		{pattern: "GET " + t + "/{id}/devices", permission: access.RolloutRead, handle: s.getRolloutDevices,
			about: "the devices of a rollout by id", query: []string{"state", "after", "limit"}, out: api.RolloutDevices{}},
	}, s.rolloutOrders()...)
}

func (s *Service) rolloutOrders() []operatorRoute {
	d := s.director
	row := func(verb string, p access.Permission, a audit.Action, about string, do func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error)) operatorRoute {
		return operatorRoute{pattern: "POST " + rolloutsPath + "/{id}/" + verb, permission: p, action: a, handle: s.rolloutOrder(do),
			about: about, in: api.RolloutOrder{}, out: api.Rollout{}}
	}
	return []operatorRoute{
		row("pause", access.RolloutStop, audit.RolloutPause, "begin nothing more; updates under way go on",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.PauseRollout(r.Context(), tenant, id, o.Reason)
			}),
		row("resume", access.RolloutWrite, audit.RolloutResume, "go on after a pause",
			func(r *http.Request, tenant, id string, _ api.RolloutOrder) (director.Rollout, error) {
				return d.ResumeRollout(r.Context(), tenant, id)
			}),
		row("abort", access.RolloutStop, audit.RolloutAbort, "end it; what has not come to the reboot is taken back",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.AbortRollout(r.Context(), tenant, id, o.Reason)
			}),
		row("rollback", access.RolloutStop, audit.RolloutRollBack, "direct the devices that were updated to the fallback",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.RollBackRollout(r.Context(), tenant, id, o.Reason)
			}),
		row("retry", access.RolloutWrite, audit.RolloutRetry, "let devices that failed, fell silent or declined try again",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.RetryRollout(r.Context(), tenant, id, o.Devices)
			}),
		row("approve", access.RolloutApprove, audit.RolloutApprove, "give the approval that the current phase waits for",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.ApproveRollout(r.Context(), tenant, id, o.Phase)
			}),
		row("advance", access.RolloutWrite, audit.RolloutAdvance, "end the current phase whatever it waits for",
			func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error) {
				return d.AdvanceRollout(r.Context(), tenant, id, o.Phase)
			}),
	}
}

func (s *Service) rolloutOrder(do func(r *http.Request, tenant, id string, o api.RolloutOrder) (director.Rollout, error)) func(http.ResponseWriter, *http.Request, *call) error {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		var in api.RolloutOrder
		if err := read(w, r, &in); err != nil {
			return err
		}
		c.Tell(object("rollout", r.PathValue("id")), in)
		out, err := do(r, r.PathValue("tenant"), r.PathValue("id"), in)
		if err != nil {
			return err
		}
		return ok(w, rolloutOut(out))
	}
}

// newRollout reads what is asked for.
func newRollout(w http.ResponseWriter, r *http.Request, c *call) (director.NewRollout, error) {
	var in api.NewRollout
	err := read(w, r, &in)
	return director.NewRollout{ID: in.ID, Tenant: r.PathValue("tenant"), Creator: creator(c), Plan: in.Plan, Product: in.Product,
		Version: in.Version, Fallback: in.Fallback}, err
}

// creator is who asks, for people.
func creator(c *call) string { return cmp.Or(c.principal.Token, "operator") }

func (s *Service) postRollout(w http.ResponseWriter, r *http.Request, c *call) error {
	n, err := newRollout(w, r, c)
	if err != nil {
		return err
	}
	n.ID = cmp.Or(n.ID, director.NewRolloutID())
	c.Tell(object("rollout", n.ID), map[string]any{"release": n.Product + "/" + n.Version, "fallback": n.Fallback, "plan_bytes": len(n.Plan)})
	out, err := s.director.StartRollout(r.Context(), n)
	if err != nil {
		return err
	}
	return ok(w, rolloutOut(out))
}

// previewDevices is how many devices of each part a preview names unless asked for others.
const previewDevices = 20

func (s *Service) postPreview(w http.ResponseWriter, r *http.Request, c *call) error {
	n, err := newRollout(w, r, c)
	if err != nil {
		return err
	}
	most := previewDevices
	if k, err := strconv.Atoi(r.URL.Query().Get("devices")); err == nil && k >= 0 {
		most = min(k, 100_000)
	}
	p, err := s.director.PreviewRollout(r.Context(), n, most)
	if err != nil {
		return err
	}
	out := api.Preview{ID: p.ID, Already: api.PreviewPart(p.Already), Others: p.Others}
	for _, phase := range p.Phases {
		out.Phases = append(out.Phases, api.PreviewPhase{Name: phase.Name, Need: phase.Need, Busy: phase.Busy, PreviewPart: api.PreviewPart(phase.PreviewPart)})
	}
	for _, part := range p.Excluded {
		out.Excluded = append(out.Excluded, api.PreviewPart(part))
	}
	return ok(w, out)
}

func (s *Service) getRollouts(w http.ResponseWriter, r *http.Request, _ *call) error {
	q := r.URL.Query()
	all, err := s.director.Rollouts(r.Context(), store.RolloutQuery{Tenant: r.PathValue("tenant"), Run: q.Get("run"), Open: q.Get("open") != "",
		Device: q.Get("device"), Limit: limit(r)})
	if err != nil {
		return err
	}
	out := api.Rollouts{Rollouts: []api.Rollout{}}
	for _, one := range all {
		one.Plan = nil
		out.Rollouts = append(out.Rollouts, rolloutOut(one))
	}
	return ok(w, out)
}

func (s *Service) getRollout(w http.ResponseWriter, r *http.Request, _ *call) error {
	out, err := s.director.Rollout(r.Context(), r.PathValue("tenant"), r.PathValue("id"))
	if err != nil {
		return err
	}
	return ok(w, rolloutOut(out))
}

func rolloutOut(o director.Rollout) api.Rollout {
	st := o.Status
	out := api.Rollout{ID: o.ID, Tenant: o.Tenant, Product: o.Product, Version: o.Version, Fallback: o.Fallback, Creator: o.Creator, Created: o.Created,
		Run: string(st.Run), Reason: st.Reason, Phase: st.Phase, InFlight: st.InFlight, Outside: statesOut(st.Outside.States),
		Next: maybe(o.Next), Finished: maybe(o.Finished), Plan: o.Plan}
	for _, p := range st.Phases {
		out.Phases = append(out.Phases, api.RolloutPhase{Name: p.Name, States: statesOut(p.States), Busy: p.Busy, Size: p.Size, Good: p.Good, Need: p.Need,
			Passed: maybe(p.Passed), Approval: p.Approval})
	}
	for _, c := range o.Reasons {
		out.Reasons = append(out.Reasons, api.RolloutReason(c))
	}
	return out
}

func statesOut(m map[rollout.State]int) map[string]int {
	out := make(map[string]int, len(m))
	for s, n := range m {
		out[s.String()] = n
	}
	return out
}

func (s *Service) getRolloutDevices(w http.ResponseWriter, r *http.Request, _ *call) error {
	q := r.URL.Query()
	query := store.RowQuery{Rollout: r.PathValue("id"), State: q.Get("state"), After: q.Get("after"), Limit: limit(r)}
	all, err := s.director.RolloutDevices(r.Context(), r.PathValue("tenant"), query)
	if err != nil {
		return err
	}
	out := api.RolloutDevices{Devices: []api.RolloutDevice{}}
	for _, d := range all {
		one := api.RolloutDevice{Device: d.Device, Serial: d.Serial, Phase: d.Phase, State: d.State, Reason: d.Reason, Attempt: d.Attempt}
		if d.Update.ID != "" {
			u := s.updateOut(d.Update)
			one.Update = &u
		}
		out.Devices = append(out.Devices, one)
	}
	if len(all) == query.Limit {
		out.Next = all[len(all)-1].Device
	}
	return ok(w, out)
}
