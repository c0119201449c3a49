package service

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// refusals writes refusals to the audit log, few of them: callers can make them as fast as
// they like. The first of a kind is written at once; those that follow within the same minute
// are counted, and written as one when it is over.
type refusals struct {
	store *store.Store
	clock func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	minute time.Time
	kinds  map[refusalKind]*refusal
}

// refusalKind is what makes refusals the same.
type refusalKind struct {
	tenant string
	actor  audit.Actor
	source netip.Prefix
	action audit.Action
	detail string
}

type refusal struct {
	audit.Entry     // the first of them
	more        int // that came after
}

// maxRefusals bounds the kinds in a minute; what goes beyond is counted together.
const maxRefusals = 1000

func newRefusals(s *store.Store, clock func() time.Time, log *slog.Logger) *refusals {
	return &refusals{store: s, clock: clock, log: log, kinds: map[refusalKind]*refusal{}}
}

// tell notes one refusal.
func (f *refusals) tell(ctx context.Context, tenant string, e audit.Entry) {
	f.sweep(ctx, false)
	if f.first(tenant, e) {
		f.write(ctx, tenant, e)
	}
}

// first says whether e is the first of its kind in this minute, and counts it if it is not.
func (f *refusals) first(tenant string, e audit.Entry) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := refusalKind{tenant: tenant, actor: e.Actor, action: e.Action, detail: string(e.Detail), source: prefixOf(e.Source.String())}
	if e.Actor.Kind == audit.Nobody {
		k.detail = "" // who is nobody could make up any number of reasons
	}
	if r := f.kinds[k]; r != nil {
		r.more++
		return false
	}
	if len(f.kinds) >= maxRefusals {
		k = refusalKind{}
		e.Source, e.Actor, e.Action, e.Object = netip.Addr{}, audit.Actor{Kind: audit.Nobody}, audit.AccessRefuse, ""
		if r := f.kinds[k]; r != nil {
			r.more++
			return false
		}
		f.kinds[k] = &refusal{e, 1}
		return false
	}
	f.kinds[k] = &refusal{e, 0}
	return true
}

// sweep writes what was counted in minutes that are over; all of it, with end.
func (f *refusals) sweep(ctx context.Context, end bool) {
	now := f.clock().Truncate(time.Minute)
	f.mu.Lock()
	if now.Equal(f.minute) && !end {
		f.mu.Unlock()
		return
	}
	old := f.kinds
	f.minute, f.kinds = now, map[refusalKind]*refusal{}
	f.mu.Unlock()
	for k, r := range old {
		if r.more > 0 {
			r.Detail = auditlog.Detail(map[string]int{"more": r.more})
			f.write(ctx, k.tenant, r.Entry)
		}
	}
}

func (f *refusals) write(ctx context.Context, tenant string, e audit.Entry) {
	err := f.store.Update(ctx, func(tx *store.Tx) error { return auditlog.Append(tx, tenant, e) })
	if err != nil {
		f.log.Error("a refusal is not in the audit log", "action", e.Action, "object", e.Object, "error", err)
	}
}
