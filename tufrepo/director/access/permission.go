package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Permission is one thing that a token may be allowed.
type Permission string

// All of them. Names are only ever added.
const (
	TenantRead     Permission = "tenant.read"     // see a tenant: its name, root, settings, counts
	TenantWrite    Permission = "tenant.write"    // extend its director roots, make and rotate its online key
	TenantCreate   Permission = "tenant.create"   // add a tenant
	TenantPurge    Permission = "tenant.purge"    // erase a tenant with all that is known of it
	DeviceRead     Permission = "device.read"     // see devices and groups, and what devices say of themselves
	DeviceWrite    Permission = "device.write"    // note things of a device: name, place, time zone
	DeviceRevoke   Permission = "device.revoke"   // withdraw a device's identity
	DevicePurge    Permission = "device.purge"    // erase a device with all that is known of it
	GroupWrite     Permission = "group.write"     // make, change and remove groups, and put devices into them
	EnrollRead     Permission = "enroll.read"     // see claim tokens, codes and access keys, without their secrets
	EnrollWrite    Permission = "enroll.write"    // make and withdraw them
	ReleaseRead    Permission = "release.read"    // see products and releases
	RolloutRead    Permission = "rollout.read"    // see rollouts and how far they have come
	RolloutWrite   Permission = "rollout.write"   // make rollouts, resume, advance, retry
	RolloutStop    Permission = "rollout.stop"    // pause, abort, roll back
	RolloutApprove Permission = "rollout.approve" // approve a phase
	DirectWrite    Permission = "direct.write"    // direct devices by hand, without a rollout
	ReportRead     Permission = "report.read"     // see updates and their history, fetch reports
	AuditRead      Permission = "audit.read"      // read, check and export the audit log
	TokenRead      Permission = "token.read"      // see tokens, roles and grants, without their secrets
	TokenWrite     Permission = "token.write"     // make, change and withdraw tokens
	RoleWrite      Permission = "role.write"      // make, change and remove custom roles
	GrantWrite     Permission = "grant.write"     // let another organisation in, and out
	SettingsWrite  Permission = "settings.write"  // change a tenant's settings: retention, defaults
	ServiceRead    Permission = "service.read"    // see how the service does: disk, database, versions
	ServiceWrite   Permission = "service.write"   // change the service's own settings
	ServiceBackup  Permission = "service.backup"  // make a backup, which holds everything
)

// list is all permissions in a fixed order, in which they are the bits of a Set. The order
// is not stored anywhere.
func list() [27]Permission {
	return [...]Permission{TenantRead, TenantWrite, TenantCreate, TenantPurge, DeviceRead, DeviceWrite, DeviceRevoke, DevicePurge,
		GroupWrite, EnrollRead, EnrollWrite, ReleaseRead, RolloutRead, RolloutWrite, RolloutStop, RolloutApprove, DirectWrite, ReportRead,
		AuditRead, TokenRead, TokenWrite, RoleWrite, GrantWrite, SettingsWrite, ServiceRead, ServiceWrite, ServiceBackup}
}

// Permissions are all of them.
func Permissions() []Permission { all := list(); return all[:] }

// ofService are what only a token of the service can use.
func ofService() Set {
	return must(TenantCreate, TenantPurge, ServiceRead, ServiceWrite, ServiceBackup)
}

// neverGranted are what would outlive a grant.
func neverGranted() Set { return must(TenantWrite, TokenWrite, RoleWrite, GrantWrite) }

// Set is a set of permissions. Its zero value is empty; sets can be compared with ==. Its
// text is a list of names.
type Set struct{ bits uint64 }

// NewSet refuses names that are no permissions.
func NewSet(all ...Permission) (Set, error) {
	var s Set
	known := list()
	for _, p := range all {
		i := slices.Index(known[:], p)
		if i < 0 {
			return Set{}, fmt.Errorf("%.40q is not a permission", string(p))
		}
		s.bits |= 1 << i
	}
	return s, nil
}

// must is NewSet for constants.
func must(all ...Permission) Set {
	s, err := NewSet(all...)
	if err != nil {
		panic(err) // a test sees every call of this
	}
	return s
}

// All is every permission.
func All() Set { return must(Permissions()...) }

// Has reports whether p is in s.
func (s Set) Has(p Permission) bool {
	one, err := NewSet(p)
	return err == nil && s.bits&one.bits != 0
}

// And is what is in both.
func (s Set) And(o Set) Set { return Set{s.bits & o.bits} }

// Or is what is in either.
func (s Set) Or(o Set) Set { return Set{s.bits | o.bits} }

// Without is what is in s and not in o.
func (s Set) Without(o Set) Set { return Set{s.bits &^ o.bits} }

// List is the permissions in s, in the order of Permissions.
func (s Set) List() []Permission {
	return slices.DeleteFunc(Permissions(), func(p Permission) bool { return !s.Has(p) })
}

// String is the names with commas between them.
func (s Set) String() string {
	var names []string
	for _, p := range s.List() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// MarshalJSON writes a list of names.
func (s Set) MarshalJSON() ([]byte, error) { return json.Marshal(s.List()) }

// UnmarshalJSON reads a list of names and refuses unknown ones.
func (s *Set) UnmarshalJSON(b []byte) error {
	var all []Permission
	err := json.Unmarshal(b, &all)
	if err == nil {
		*s, err = NewSet(all...)
	}
	if err != nil {
		return fmt.Errorf("reading permissions: %w", err)
	}
	return nil
}
