package site

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// Claim is the file with the claim token.
func (s *Site) Claim() string { return filepath.Join(s.dir, "claim") }

// Admit makes the tenant and a claim token for so many devices. The service must run.
func (s *Site) Admit(ctx context.Context, devices int) error {
	if err := s.addTenant(ctx); err != nil {
		return fmt.Errorf("making the tenant: %w", err)
	}
	var claim api.Claim
	err := s.ask(ctx, "POST", "/claim-tokens", api.NewClaim{Tenant: Tenant, Uses: int64(devices), Seconds: int64(24 * time.Hour / time.Second)}, &claim)
	if err != nil {
		return fmt.Errorf("making the claim token: %w", err)
	}
	return os.WriteFile(s.Claim(), []byte(claim.Token), 0o600)
}

func (s *Site) addTenant(ctx context.Context) error {
	var online api.Key
	if err := s.ask(ctx, "POST", "/tenants/"+Tenant+"/key", api.NewKey{}, &online); err != nil {
		return err
	}
	path := s.key("director")
	if err := os.WriteFile(path+".pub", []byte(online.Public), 0o600); err != nil {
		return err
	}
	one, err := keys(1, path)
	if err != nil {
		return err
	}
	carol, err := keys(1, s.key("carol"))
	if err != nil {
		return err
	}
	out := s.bundle("director")
	if _, err := signer.NewRoot(ctx, signer.NewRootOptions{Out: out, Director: true, Lifetime: lifetime, Now: time.Now(), Roles: map[string]signer.Keys{
		"root": carol, "targets": one, "timestamp": one, "snapshot": one,
	}}); err != nil {
		return err
	}
	if err := s.sign(out, "", "carol"); err != nil {
		return err
	}
	root, err := os.ReadFile(filepath.Join(out, bundle.MetadataName(1, "root")))
	if err != nil {
		return err
	}
	return s.ask(ctx, "POST", "/tenants", api.NewTenant{Name: Tenant, Roots: []string{string(root)}}, &api.Tenant{})
}

// Rollout begins a rollout and returns its id.
func (s *Site) Rollout(ctx context.Context, version string, plan json.RawMessage) (string, error) {
	var out api.Rollout
	err := s.ask(ctx, "POST", "/tenants/"+Tenant+"/rollouts", api.NewRollout{Plan: plan, Product: s.o.Product, Version: version}, &out)
	if err != nil {
		return "", fmt.Errorf("rolling %s out: %w", version, err)
	}
	return out.ID, nil
}

// RolloutState is how a rollout stands.
func (s *Site) RolloutState(ctx context.Context, id string) (api.Rollout, error) {
	var out api.Rollout
	err := s.ask(ctx, "GET", "/tenants/"+Tenant+"/rollouts/"+id, nil, &out)
	return out, err
}

// Direct orders a release for every device at once, also where the director believes that it will be refused.
func (s *Site) Direct(ctx context.Context, version string) error {
	err := s.ask(ctx, "POST", "/directions", api.Order{Tenant: Tenant, Product: s.o.Product, Version: version, All: true, Force: true}, &api.Outcomes{})
	if err != nil {
		return fmt.Errorf("directing %s: %w", version, err)
	}
	return nil
}
