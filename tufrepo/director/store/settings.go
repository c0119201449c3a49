package store

import (
	"errors"
	"time"
)

// Settings of a tenant. A tenant that has none has [DefaultSettings].
type Settings struct {
	DeviceDays int64 // how long events and ended updates of devices are kept
	AuditDays  int64 // how long the audit chain is kept
	RollBack   bool  // a rollout may bring an earlier image back
}

// DefaultSettings are those of a tenant that has set none.
func DefaultSettings() Settings { return Settings{DeviceDays: 90, AuditDays: 365} }

// Settings returns a tenant's settings.
func (t *Tx) Settings(tenant string) (Settings, error) {
	s, err := get(t, func(r scanner) (s Settings, err error) {
		err = r.Scan(&s.DeviceDays, &s.AuditDays, &s.RollBack)
		return s, err
	}, "SELECT device_days, audit_days, rollback FROM settings WHERE tenant = ?", tenant)
	if errors.Is(err, ErrNotFound) {
		return DefaultSettings(), nil
	}
	return s, err
}

// SetSettings replaces them.
func (t *Tx) SetSettings(tenant string, s Settings) error {
	return t.do(`INSERT INTO settings (tenant, device_days, audit_days, rollback) VALUES (?, ?, ?, ?)
	  ON CONFLICT (tenant) DO UPDATE SET device_days = excluded.device_days, audit_days = excluded.audit_days,
	  rollback = excluded.rollback`, tenant, s.DeviceDays, s.AuditDays, s.RollBack)
}

// Policy returns a tenant's enrolment policy as JSON, and when it was set, or ErrNotFound.
func (t *Tx) Policy(tenant string) (body []byte, changed time.Time, err error) {
	body, err = get(t, func(r scanner) (b []byte, err error) {
		var at int64
		err = r.Scan(&b, &at)
		changed = fromUnix(at)
		return b, err
	}, "SELECT body, changed FROM policies WHERE tenant = ?", tenant)
	return body, changed, err
}

// SetPolicy replaces it.
func (t *Tx) SetPolicy(tenant string, body []byte, now time.Time) error {
	return t.do(`INSERT INTO policies (tenant, body, changed) VALUES (?, ?, ?)
	  ON CONFLICT (tenant) DO UPDATE SET body = excluded.body, changed = excluded.changed`, tenant, string(body), now.Unix())
}
