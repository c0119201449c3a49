package api

// Settings of a tenant.
//
//	GET   /api/v1/tenants/{tenant}/settings          -> Settings
//	PATCH /api/v1/tenants/{tenant}/settings          NewSettings -> Settings
type Settings struct {
	DeviceDays int64 `json:"device_days"` // what devices said is kept so long
	AuditDays  int64 `json:"audit_days"`
	RollBack   bool  `json:"rollback"` // a rollout may bring an earlier image back
}

// NewSettings changes what is not null.
type NewSettings struct {
	DeviceDays *int64 `json:"device_days,omitempty"`
	AuditDays  *int64 `json:"audit_days,omitempty"`
	RollBack   *bool  `json:"rollback,omitempty"`
}

// Purge removes a tenant with everything of it.
//
//	POST /api/v1/tenants/{tenant}/purge              Purge -> Done
type Purge struct {
	Confirm string `json:"confirm"` // the tenant's name once more
}

// Generation says on which database the director runs.
//
//	POST /api/v1/accept-older                        -> Generation
//	POST /api/v1/backup                              -> a file, see docs/formats.md
type Generation struct {
	Generation int64 `json:"generation"`
}
