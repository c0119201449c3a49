package director

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// Way is how a device comes in.
type Way string

// The ways. A tenant whose operators have said nothing takes claim tokens only.
const (
	WayToken  Way = "token"  // a claim token, counted, for a fleet
	WayCode   Way = "code"   // a claim code that a person types, once
	WayList   Way = "list"   // serial and MAC of a list; the key is bound at the first contact
	WayCustom Way = "custom" // UUID and access key, for clients without certificates
)

// Ways are all of them.
func Ways() []Way { return []Way{WayToken, WayCode, WayList, WayCustom} }

// Policy is what a tenant asks of devices that come in. It says nothing of those that are in.
type Policy struct {
	Ways []Way `json:"ways"`
}

func (p Policy) allows(w Way) bool { return slices.Contains(p.Ways, w) }

func (p Policy) check() error {
	for i, w := range p.Ways {
		if !slices.Contains(Ways(), w) {
			return refuse(wire.CodeBadRequest, "way %.40q is unknown: use token, code, list, custom, or none at all", string(w))
		}
		if slices.Contains(p.Ways[:i], w) {
			return refuse(wire.CodeBadRequest, "way %s is named twice", w)
		}
	}
	return nil
}

func (p Policy) String() string {
	var names []string
	for _, w := range p.Ways {
		names = append(names, string(w))
	}
	return strings.Join(names, ",")
}

func policyOf(tx *store.Tx, tenant string) (Policy, error) {
	raw, _, err := tx.Policy(tenant)
	if errors.Is(err, store.ErrNotFound) {
		return Policy{Ways: []Way{WayToken}}, nil
	}
	var p Policy
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, fmt.Errorf("enrolment policy of tenant %s: %w", tenant, err)
	}
	return p, nil
}

// Policy returns a tenant's enrolment policy.
func (d *Director) Policy(ctx context.Context, tenant string) (p Policy, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		if err := hasTenant(tx, tenant); err != nil {
			return err
		}
		p, err = policyOf(tx, tenant)
		return err
	})
	return p, err
}

// SetPolicy replaces it.
func (d *Director) SetPolicy(ctx context.Context, tenant string, p Policy) error {
	if err := p.check(); err != nil {
		return err
	}
	if p.Ways == nil {
		p.Ways = []Way{}
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	auditlog.Of(ctx).Tell("tenant/"+tenant, p)
	return auditlog.Update(ctx, d.Store, func(tx *store.Tx) error {
		if err := hasTenant(tx, tenant); err != nil {
			return err
		}
		return tx.SetPolicy(tenant, body, d.Clock())
	})
}

func hasTenant(tx *store.Tx, tenant string) error {
	_, err := tx.Tenant(tenant)
	return notFound(err, "tenant %s does not exist: add it with fairlead-repo tenant add", tenant)
}
