package service

import (
	"context"
	"net/http"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (s *Service) settingsRoutes() []operatorRoute {
	return []operatorRoute{
		{pattern: "GET /api/v1/tenants/{tenant}/settings", permission: access.TenantRead, handle: s.getSettings,
			about: "a tenant's settings", out: api.Settings{}},
		{pattern: "PATCH /api/v1/tenants/{tenant}/settings", permission: access.SettingsWrite, action: audit.TenantSettings, handle: s.patchSettings,
			about: "change a tenant's settings", in: api.NewSettings{}, out: api.Settings{}},
		// The entry goes to the service's chain: the tenant's own is erased.
		{pattern: "POST /api/v1/tenants/{tenant}/purge", permission: access.TenantPurge, action: audit.TenantPurge, asks: true, handle: s.postPurge,
			about: "erase a tenant with everything that is known of it", in: api.Purge{}, out: api.Done{}},
		{pattern: "POST /api/v1/backup", permission: access.ServiceBackup, action: audit.ServiceBackup, handle: s.postBackup,
			about: "a backup of the service; the answer is a file"},
		{pattern: "POST /api/v1/accept-older", permission: access.ServiceWrite, action: audit.ServiceRestore, handle: s.postAcceptOlder,
			about: "let the director go on with an older copy of its database", out: api.Generation{}},
	}
}

func (s *Service) getSettings(w http.ResponseWriter, r *http.Request, _ *call) error {
	out, err := s.director.Settings(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	return ok(w, api.Settings(out))
}

func (s *Service) patchSettings(w http.ResponseWriter, r *http.Request, _ *call) error {
	var in api.NewSettings
	if err := read(w, r, &in); err != nil {
		return err
	}
	out, err := s.director.ChangeSettings(r.Context(), r.PathValue("tenant"), func(old *store.Settings) {
		change(&old.DeviceDays, in.DeviceDays)
		change(&old.AuditDays, in.AuditDays)
		change(&old.RollBack, in.RollBack)
	})
	if err != nil {
		return err
	}
	return ok(w, api.Settings(out))
}

func change[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Service) postPurge(w http.ResponseWriter, r *http.Request, c *call) error {
	if err := c.in(""); err != nil {
		return err
	}
	tenant := r.PathValue("tenant")
	var in api.Purge
	if err := read(w, r, &in); err != nil {
		return err
	}
	if in.Confirm != tenant {
		return &director.Error{Code: wire.CodeBadRequest, Message: "to purge a tenant, say its name once more: --yes-delete " + tenant}
	}
	c.Tell("tenant/"+tenant, nil)
	// Not with the request: what was begun is to come to its end.
	if err := s.director.Purge(context.WithoutCancel(r.Context()), tenant); err != nil {
		return err
	}
	if s.broker != nil {
		s.broker.Recheck(context.WithoutCancel(r.Context()), true)
	}
	return ok(w, api.Done{})
}

func (s *Service) postAcceptOlder(w http.ResponseWriter, r *http.Request, c *call) error {
	if o := s.director.Older(); o != nil {
		c.Tell("", o)
	}
	if err := s.director.AcceptOlder(r.Context()); err != nil {
		return err
	}
	out := api.Generation{}
	if err := s.store.View(r.Context(), func(tx *store.Tx) (err error) { out.Generation, err = tx.Generation(); return err }); err != nil {
		return err
	}
	return ok(w, out)
}

// postBackup answers with the file as it is made. The log says so first.
func (s *Service) postBackup(w http.ResponseWriter, r *http.Request, _ *call) error {
	b, err := s.prepareBackup(r.Context())
	if err != nil {
		return err
	}
	defer b.remove()
	if err := auditlog.Update(r.Context(), s.store, func(*store.Tx) error { return nil }); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	if err := b.write(r.Context(), w); err != nil {
		s.Log.Error("the backup was cut off", "error", err)
		panic(http.ErrAbortHandler) // so that the other side sees that it is not whole
	}
	return nil
}
