package bundle

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// checkRoot verifies root by its own keys, and by those of prev unless prev is
// nil (TUF 5.3.4), as the next version of it (5.3.5).
func checkRoot(prev, root *metadata.Metadata[metadata.RootType]) error {
	if err := errors.Join(rootFaults(root)...); err != nil {
		return err
	}
	if err := verify(root, metadata.ROOT, root); err != nil {
		return fmt.Errorf("by its own keys: %w", err)
	}
	if prev == nil {
		return nil
	}
	if root.Signed.Version != prev.Signed.Version+1 {
		return fmt.Errorf("root %d does not follow root %d", root.Signed.Version, prev.Signed.Version)
	}
	if err := verify(prev, metadata.ROOT, root); err != nil {
		return fmt.Errorf("by the keys of root %d: %w", prev.Signed.Version, err)
	}
	return nil
}

// rootFaults is what is wrong with a root whoever signed it.
func rootFaults(root *metadata.Metadata[metadata.RootType]) []error {
	var faults []error
	if !root.Signed.ConsistentSnapshot {
		faults = append(faults, errors.New("consistent_snapshot is false: devices ask for versioned names"))
	}
	if got := slices.Sorted(maps.Keys(root.Signed.Roles)); !slices.Equal(got, []string{"root", "snapshot", "targets", "timestamp"}) {
		faults = append(faults, fmt.Errorf("roles %q instead of root, snapshot, targets and timestamp", got))
	}
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(root.Signed.Roles)) {
		faults = append(faults, entitledFaults(name, ByRoot(root, name))...)
		for _, id := range root.Signed.Roles[name].KeyIDs {
			used[id] = true
		}
	}
	return append(faults, keyFaults(root.Signed.Keys, used)...)
}

// maxKeys is how many keys of one role a device is ready to verify.
const maxKeys = 32

// entitledFaults refuses thresholds that cannot be met or mean nothing
// (CVE-2026-23992), and a key that is listed twice.
func entitledFaults(role string, e Entitled) []error {
	var faults []error
	if len(e.KeyIDs) > maxKeys {
		faults = append(faults, fmt.Errorf("%s has %d keys, more than the %d that devices take", role, len(e.KeyIDs), maxKeys))
	}
	if e.Threshold < 1 || e.Threshold > len(e.KeyIDs) {
		faults = append(faults, fmt.Errorf("threshold of %s is %d with %d keys", role, e.Threshold, len(e.KeyIDs)))
	}
	for i, id := range e.KeyIDs {
		if e.Keys[id] == nil {
			faults = append(faults, fmt.Errorf("key %.12s of %s is not defined", id, role))
		}
		if slices.Contains(e.KeyIDs[:i], id) {
			faults = append(faults, fmt.Errorf("key %.12s of %s is listed twice", id, role))
		}
	}
	return faults
}

// keyFaults refuses keys that devices cannot verify: one is enough to make
// them refuse the role. A key that nothing uses is a mistake or a trap.
func keyFaults(keys map[string]*metadata.Key, used map[string]bool) []error {
	var faults []error
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		if err := keyfile.CheckTUFKey(id, keys[id]); err != nil {
			faults = append(faults, err)
		}
		if !used[id] {
			faults = append(faults, fmt.Errorf("key %.12s is defined and no role uses it", id))
		}
	}
	return faults
}

// targetsFaults is what is wrong with the top-level targets whoever signed it.
func targetsFaults(m *metadata.Metadata[metadata.TargetsType]) []error {
	var faults []error
	for _, target := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
		if target != tlog.PolicyPath {
			faults = append(faults, fmt.Errorf("it lists targets of its own, such as %.80q: releases belong in their product's role", target))
		} else if _, err := policyEntry(m); err != nil {
			faults = append(faults, err)
		}
	}
	d := m.Signed.Delegations
	if d == nil {
		return faults
	}
	if d.SuccinctRoles != nil {
		faults = append(faults, errors.New("succinct delegations are not used here"))
	}
	used, names := map[string]bool{}, map[string]bool{}
	for _, r := range d.Roles {
		faults = append(faults, delegationFaults(r)...)
		if names[r.Name] {
			faults = append(faults, fmt.Errorf("product %q is delegated twice", r.Name))
		}
		names[r.Name] = true
		faults = append(faults, entitledFaults(r.Name, ByTargets(m, r.Name))...)
		for _, id := range r.KeyIDs {
			used[id] = true
		}
	}
	return append(faults, keyFaults(d.Keys, used)...)
}

// delegationFaults: a role is named as its product and has exactly its paths.
func delegationFaults(r metadata.DelegatedRole) []error {
	if err := firmware.CheckProduct(r.Name); err != nil {
		return []error{fmt.Errorf("delegation: %w", err)}
	}
	var faults []error
	if !slices.Equal(r.Paths, []string{r.Name + "/*"}) || len(r.PathHashPrefixes) > 0 {
		faults = append(faults, fmt.Errorf("delegation of %s covers %q instead of %q", r.Name, r.Paths, r.Name+"/*"))
	}
	if !r.Terminating {
		faults = append(faults, fmt.Errorf("delegation of %s is not terminating", r.Name))
	}
	return faults
}

// entries are the releases of a product's role by path, without their channels, and what is wrong with them.
func entries(product string, m *metadata.Metadata[metadata.TargetsType]) (all []Entry, faults []error) {
	if m.Signed.Delegations != nil {
		faults = append(faults, errors.New("a product's role does not delegate"))
	}
	counters := make(map[int64]string, len(m.Signed.Targets))
	all = make([]Entry, 0, len(m.Signed.Targets))
	for _, target := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
		e, err := parseEntry(target, m.Signed.Targets[target])
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if e.Product != product {
			faults = append(faults, fmt.Errorf("target %s belongs to another product", target))
		}
		if other := counters[e.Counter]; other != "" {
			faults = append(faults, fmt.Errorf("%s and %s have the same counter %d", other, target, e.Counter))
		}
		counters[e.Counter] = target
		all = append(all, e)
	}
	return all, faults
}

// channels are those of a product's role. A channel is said of releases that are listed, and of nothing else.
func channels(product string, m *metadata.Metadata[metadata.TargetsType]) (channels map[string]firmware.Channel, faults []error) {
	channels, err := firmware.ParseChannels(m.Signed.UnrecognizedFields)
	if err != nil {
		return nil, []error{err}
	}
	for _, version := range slices.Sorted(maps.Keys(channels)) {
		if m.Signed.Targets[firmware.TargetPath(product, version)] == nil {
			faults = append(faults, fmt.Errorf("release %s is said to be in channel %s and is not listed", version, channels[version]))
		}
	}
	return channels, faults
}
