package service

import (
	"context"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// sealer signs the heads of the audit log.
type sealer struct {
	director.AuditKeys
	known audit.Keys // the same for verifying
}

func (s *Service) openAudit(ctx context.Context) (err error) {
	if s.sealer.AuditKeys, err = s.director.AuditKeys(ctx); err != nil {
		return err
	}
	if s.sealer.known, err = audit.NewKeys(s.sealer.Public...); err != nil {
		return err
	}
	return s.tellService(ctx, audit.ServiceStart, map[string]any{"broker": !s.NoBroker, "audit_key": s.sealer.ID()})
}

// tellService writes what the service itself does into its chain.
func (s *Service) tellService(ctx context.Context, action audit.Action, detail any) error {
	e := audit.Entry{Time: s.Clock(), Actor: audit.Actor{Kind: audit.System, ID: "serve"}, Action: action, Outcome: audit.OK, Detail: auditlog.Detail(detail)}
	return s.store.Update(ctx, func(tx *store.Tx) error { return auditlog.Append(tx, "", e) })
}

// auditEvery is how often it is looked whether a new day has begun, and whether refusals have
// to be written.
const auditEvery = 15 * time.Second

// auditLoop signs the heads of all chains when it starts and when a day begins.
func (s *Service) auditLoop(ctx context.Context) error {
	tick := time.NewTicker(s.Limits.look(auditEvery))
	defer tick.Stop()
	for day := audit.Day(""); ; {
		s.refusals.sweep(ctx, false)
		if now := audit.DayOf(s.Clock()); now != day {
			s.seal(ctx)
			day = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) seal(ctx context.Context) {
	if err := auditlog.Seal(ctx, s.store, s.sealer.Signer, s.sealer.known, s.Clock()); err != nil && ctx.Err() == nil {
		s.Log.Error("the audit log is not signed: check it with fairlead-repo audit verify", "error", err)
	}
}

// endAudit writes what was not written yet, and signs it. What it cannot write is logged: the
// service ends all the same.
func (s *Service) endAudit() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.refusals.sweep(ctx, true)
	if err := s.tellService(ctx, audit.ServiceStop, nil); err != nil {
		s.Log.Error("the end of the service is not in the audit log", "error", fmt.Errorf("ending: %w", err))
	}
	s.seal(ctx)
}
