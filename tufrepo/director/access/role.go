package access

import (
	"fmt"
	"slices"
	"time"
)

// Names of the built-in roles.
const (
	Admin    = "admin"    // everything
	Operator = "operator" // runs the fleet: devices, enrolment; approves and stops rollouts
	Release  = "release"  // plans rollouts
	Viewer   = "viewer"   // sees the fleet and what becomes of it
	Auditor  = "auditor"  // sees that, the audit log, and who has access
)

// Role is a name for a set of permissions. Custom ones belong to a scope.
type Role struct {
	Name        string `json:"name"`
	Scope       Scope  `json:"scope,omitempty"` // empty for the built-in ones, which are everywhere
	Permissions Set    `json:"permissions"`
}

// BuiltIn are the roles that are always there. The table in the package's text shows them.
func BuiltIn() []Role {
	viewer := must(TenantRead, DeviceRead, ReleaseRead, RolloutRead, ReportRead)
	return []Role{
		{Name: Admin, Permissions: All()},
		{Name: Operator, Permissions: viewer.Or(must(EnrollRead, EnrollWrite, DeviceWrite, DeviceRevoke, GroupWrite, RolloutStop, RolloutApprove, DirectWrite))},
		{Name: Release, Permissions: viewer.Or(must(RolloutWrite, RolloutStop))},
		{Name: Viewer, Permissions: viewer},
		{Name: Auditor, Permissions: viewer.Or(must(EnrollRead, TokenRead, AuditRead, ServiceRead))},
	}
}

// Find returns the built-in role of that name; false if there is none.
func Find(name string) (Role, bool) {
	all := BuiltIn()
	i := slices.IndexFunc(all, func(r Role) bool { return r.Name == name })
	if i < 0 {
		return Role{}, false
	}
	return all[i], true
}

// Check refuses a custom role of a wrong shape.
func (r Role) Check() error {
	if err := checkRoleName(r.Name); err != nil {
		return err
	}
	if _, taken := Find(r.Name); taken {
		return fmt.Errorf("role %s is built in and cannot be changed: choose another name", r.Name)
	}
	if err := r.Scope.Check(); err != nil {
		return fmt.Errorf("role %s: %w", r.Name, err)
	}
	if r.Permissions == (Set{}) {
		return fmt.Errorf("role %s has no permissions", r.Name)
	}
	if out := r.Permissions.Without(usable(r.Scope)); out != (Set{}) {
		return fmt.Errorf("role %s is of a tenant and cannot have what is for tokens of the service: %s", r.Name, out)
	}
	return nil
}

func checkRoleName(name string) error {
	for i, c := range []byte(name) {
		first := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !first && (i == 0 || c != '.' && c != '_' && c != '-') {
			return fmt.Errorf("role name %.64q: use a-z 0-9 . _ -, a letter or digit first", name)
		}
	}
	if name == "" || len(name) > 64 {
		return fmt.Errorf("role name %.64q: use 1 to 64 characters", name)
	}
	return nil
}

// CanDefine says whether p may make the custom role r. To change or remove one, it must hold
// for the role as it was, too: else who has little could take from those who have more.
func CanDefine(p Principal, r Role, now time.Time) error {
	if err := r.Check(); err != nil {
		return err
	}
	if err := Allow(p, RoleWrite, r.Scope, now); err != nil {
		return err
	}
	return p.covers(r.Permissions, r.Scope, now)
}
