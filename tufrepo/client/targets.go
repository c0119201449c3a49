package client

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
)

// Target is a file that a role vouches for.
type Target struct {
	Path   string
	Length int64
	SHA256 firmware.Digest   // zero if the role gives no SHA-256
	Hashes map[string]string // all of them, in hex, by algorithm
	Custom json.RawMessage   // nil if there is none
	Role   string            // who vouches
	// Channel is how far the role has moved a release; stable where it says nothing.
	Channel firmware.Channel
}

// Target finds the one that path names, in the state of the last Refresh
// (specification 5.6.7): roles are asked in the order of their delegations,
// depth first, each only for the paths it was given. It fails with ErrNoTarget,
// and with the class of what is wrong if a role on the way cannot be verified.
func (c *Client) Target(ctx context.Context, path string) (Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := checkPath(path); err != nil {
		return Target{}, err
	}
	s, err := c.ready(ctx)
	if err != nil {
		return Target{}, err
	}
	return s.find(ctx, path)
}

// Targets lists what a role may vouch for and does, sorted by path: a product
// role that the top-level targets role delegates to, or "targets" itself.
func (c *Client) Targets(ctx context.Context, role string) ([]Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	if role != metadata.TARGETS {
		if !s.delegates(role) {
			return nil, failf(ErrNoTarget, role, "the repository has no such product")
		}
		if err := s.load(ctx, role, metadata.TARGETS); err != nil {
			return nil, err
		}
	}
	var list []Target
	for path, f := range s.tm.Targets[role].Signed.Targets {
		if checkPath(path) == nil && (role == metadata.TARGETS || slices.Contains(s.children(metadata.TARGETS, path), role)) {
			t, err := s.target(path, role, f)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b Target) int { return cmp.Compare(a.Path, b.Path) })
	return list, nil
}

func (s *set) delegates(role string) bool {
	d := s.tm.Targets[metadata.TARGETS].Signed.Delegations
	if d == nil {
		return false
	}
	if d.SuccinctRoles != nil {
		return d.SuccinctRoles.IsDelegatedRole(role)
	}
	return slices.ContainsFunc(d.Roles, func(r metadata.DelegatedRole) bool { return r.Name == role })
}

// children names the roles that role delegates path to, in order.
func (s *set) children(role, path string) []string {
	var names []string
	for _, r := range s.results(role, path) {
		names = append(names, r.Name)
	}
	return names
}

func (s *set) results(role, path string) []metadata.RoleResult {
	d := s.tm.Targets[role].Signed.Delegations
	if d == nil {
		return nil
	}
	return d.GetRolesForTarget(path)
}

// visit is one edge of the graph of delegations.
type visit struct{ delegator, role string }

// find walks the graph, pre-order and depth first. A role is visited once in a
// search, so cycles end; under which delegator it was verified is kept in the
// set, so another search that comes another way verifies it again.
func (s *set) find(ctx context.Context, path string) (Target, error) {
	todo := []visit{{metadata.ROOT, metadata.TARGETS}}
	visited := map[string]bool{}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if visited[at.role] {
			continue
		}
		if len(visited) > s.limits.Delegations {
			return Target{}, failf(ErrNoTarget, path, "not found in the first %d roles, and no more are asked", s.limits.Delegations)
		}
		if err := s.load(ctx, at.role, at.delegator); err != nil {
			return Target{}, err
		}
		visited[at.role] = true
		if f := s.tm.Targets[at.role].Signed.Targets[path]; f != nil {
			return s.target(path, at.role, f)
		}
		todo = s.push(todo, at.role, path)
	}
	return Target{}, failf(ErrNoTarget, path, "the repository has no such target")
}

// push adds the roles that role delegates path to, the first on top. A
// terminating one leaves nothing else to ask.
func (s *set) push(todo []visit, role, path string) []visit {
	var next []visit
	for _, r := range s.results(role, path) {
		next = append(next, visit{role, r.Name})
		if r.Terminating {
			todo = nil
			break
		}
	}
	slices.Reverse(next)
	return append(todo, next...)
}

// target is newTarget with what the role says beside its entry.
func (s *set) target(path, role string, f *metadata.TargetFiles) (Target, error) {
	t := newTarget(path, role, f)
	channels, err := firmware.ParseChannels(s.tm.Targets[role].Signed.UnrecognizedFields)
	if err != nil {
		return Target{}, fail(ErrFormat, role, err)
	}
	_, version, _ := firmware.ParseTargetPath(path)
	t.Channel = cmp.Or(channels[version], firmware.Stable)
	return t, nil
}

func newTarget(path, role string, f *metadata.TargetFiles) Target {
	t := Target{Path: path, Length: f.Length, Role: role, Hashes: make(map[string]string, len(f.Hashes))}
	for _, alg := range slices.Sorted(maps.Keys(f.Hashes)) {
		t.Hashes[alg] = f.Hashes[alg].String()
	}
	// A SHA-256 of another length than 32 bytes stays zero and matches nothing.
	t.SHA256, _ = firmware.ParseDigest(t.Hashes["sha256"])
	if f.Custom != nil {
		t.Custom = slices.Clone(*f.Custom)
	}
	return t
}

// checkPath refuses paths that could mean another file on a server or on disk.
func checkPath(path string) error {
	bad := path == "" || len(path) > 1024 || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
	for segment := range strings.SplitSeq(path, "/") {
		bad = bad || segment == "" || segment == "." || segment == ".."
	}
	if bad {
		return failf(ErrNoTarget, "", "%.80q is not a target path", path)
	}
	return nil
}
