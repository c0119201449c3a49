package access_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/fairlead/fairlead/tufrepo/director/access"
)

// outcome compares an error with the one that is wanted; any error at all if that is errAny.
var errAny = errors.New("any error")

func outcome(t *testing.T, name string, got, want error) {
	t.Helper()
	if (got == nil) != (want == nil) || want != nil && want != errAny && !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

func TestCanDefine(t *testing.T) {
	maker := with(t, RoleWrite, DeviceRead, DeviceWrite)
	role := func(name string, s Scope, all ...Permission) Role {
		return Role{Name: name, Scope: s, Permissions: set(t, all...)}
	}
	for _, tc := range []struct {
		name string
		p    Principal
		r    Role
		want error
	}{
		{"what the maker has", maker, role("clerk", "acme", DeviceRead, DeviceWrite), nil},
		{"more than the maker has", maker, role("clerk", "acme", DeviceRead, DeviceRevoke), ErrForbidden},
		{"without role.write", holder(t, Operator, "acme"), role("clerk", "acme", DeviceRead), ErrForbidden},
		{"in another tenant", maker, role("clerk", "bolt", DeviceRead), ErrNotFound},
		{"by the service", holder(t, Admin, Service), role("clerk", "bolt", DeviceRead), nil},
		{"of the service, by a tenant", holder(t, Admin, "acme"), role("clerk", Service, DeviceRead), ErrForbidden},
		{"of the service", holder(t, Admin, Service), role("clerk", Service, ServiceBackup), nil},
		{"a tenant's with a service's permission", holder(t, Admin, Service), role("clerk", "acme", ServiceBackup), errAny},
		{"a built-in name", holder(t, Admin, "acme"), role("admin", "acme", DeviceRead), errAny},
		{"empty", maker, role("clerk", "acme"), errAny},
		{"no name", maker, role("", "acme", DeviceRead), errAny},
		{"a dot first", maker, role(".clerk", "acme", DeviceRead), errAny},
		{"upper case", maker, role("Clerk", "acme", DeviceRead), errAny},
		{"a long name", maker, role(strings.Repeat("x", 65), "acme", DeviceRead), errAny},
		{"the longest name", maker, role(strings.Repeat("x", 64), "acme", DeviceRead), nil},
		{"no scope", holder(t, Admin, Service), role("clerk", "", DeviceRead), errAny},
	} {
		outcome(t, tc.name, CanDefine(tc.p, tc.r, now), tc.want)
	}
}

func TestCanIssue(t *testing.T) {
	token := func(role string, s Scope, expires time.Time) Principal {
		p := holder(t, role, s)
		p.Token, p.Expires = "1111111111", expires
		return p
	}
	maker := holder(t, Admin, "acme")
	brief := maker
	brief.Expires = now.Add(time.Hour)
	clerk := with(t, TokenWrite, DeviceRead, TenantRead, ReleaseRead, RolloutRead, ReportRead)
	guest := holder(t, Admin, "bolt")
	guest.Grants = []Grant{{From: "acme", To: "bolt", Permissions: All()}}
	posing := token(Viewer, "acme", time.Time{})
	posing.Role = Admin
	for _, tc := range []struct {
		name string
		p, t Principal
		want error
	}{
		{"an admin makes an admin", maker, token(Admin, "acme", time.Time{}), nil},
		{"a clerk makes a viewer", clerk, token(Viewer, "acme", time.Time{}), nil},
		{"a clerk makes an operator", clerk, token(Operator, "acme", time.Time{}), ErrForbidden},
		{"an operator makes a viewer", holder(t, Operator, "acme"), token(Viewer, "acme", time.Time{}), ErrForbidden},
		{"of another tenant", maker, token(Viewer, "bolt", time.Time{}), ErrNotFound},
		{"of the service", maker, token(Viewer, Service, time.Time{}), ErrForbidden},
		{"by the service", holder(t, Admin, Service), token(Admin, "acme", time.Time{}), nil},
		{"of the service, by the service", holder(t, Admin, Service), token(Admin, Service, time.Time{}), nil},
		{"a guest", guest, token(Viewer, "acme", time.Time{}), ErrForbidden},
		{"one that lasts as long", brief, token(Viewer, "acme", brief.Expires), nil},
		{"one that lasts longer", brief, token(Viewer, "acme", brief.Expires.Add(time.Second)), ErrForbidden},
		{"one that lasts for ever", brief, token(Viewer, "acme", time.Time{}), ErrForbidden},
		{"one that is over", maker, token(Viewer, "acme", now), errAny},
		{"one that only calls itself admin", maker, posing, errAny},
		{"one that can do nothing", maker, Principal{Token: "x", Scope: "acme", Role: "custom", Permissions: set(t, ServiceBackup)}, errAny},
		{"without an id", maker, Principal{Scope: "acme", Role: Viewer, Permissions: holder(t, Viewer, "acme").Permissions}, errAny},
		{"without a scope", holder(t, Admin, Service), token(Viewer, "", time.Time{}), errAny},
	} {
		outcome(t, tc.name, CanIssue(tc.p, tc.t, now), tc.want)
	}
}

func TestCanRevoke(t *testing.T) {
	named := func(id, role string, s Scope) Principal {
		p := holder(t, role, s)
		p.Token = id
		return p
	}
	a, b := named("aaaa", Admin, "acme"), named("bbbb", Admin, "acme")
	over := named("cccc", Admin, "acme")
	over.Expires = now
	service, away := named("dddd", Admin, Service), named("eeee", Admin, "bolt")
	viewer, operator := named("ffff", Viewer, "acme"), named("gggg", Operator, "acme")
	clerk := with(t, TokenWrite)
	clerk.Permissions = clerk.Permissions.Or(viewer.Permissions)
	for _, tc := range []struct {
		name   string
		p, t   Principal
		others []Principal
		want   error
	}{
		{"one of two admins", a, b, []Principal{a, b}, nil},
		{"the last admin, by itself", a, a, []Principal{a, viewer, operator}, ErrLastAdmin},
		{"the last admin, by the service", service, a, []Principal{a, service}, ErrLastAdmin},
		{"the other admin has expired", a, a, []Principal{a, over}, ErrLastAdmin},
		{"the other admin is of another tenant", a, a, []Principal{a, away}, ErrLastAdmin},
		{"an admin that has expired", a, over, []Principal{a, over}, nil},
		{"the last admin of the service", service, service, []Principal{service, a}, ErrLastAdmin},
		{"a viewer, by an admin", a, viewer, nil, nil},
		{"a viewer, by a clerk", clerk, viewer, nil, nil},
		{"an operator, by a clerk", clerk, operator, nil, ErrForbidden},
		{"an admin, by a clerk", clerk, a, []Principal{a, b}, ErrForbidden},
		{"a viewer, by itself", viewer, viewer, nil, nil},
		{"an operator, by a viewer", viewer, operator, nil, ErrForbidden},
		{"of another tenant", away, viewer, nil, ErrNotFound},
		{"an expired admin takes itself away", over, over, []Principal{a}, ErrExpired},
	} {
		outcome(t, tc.name, CanRevoke(tc.p, tc.t, tc.others, now), tc.want)
	}
}

func TestCanChange(t *testing.T) {
	a, b, viewer, service := holder(t, Admin, "acme"), holder(t, Admin, "acme"), holder(t, Viewer, "acme"), holder(t, Admin, Service)
	a.Token, b.Token, viewer.Token = "aaaa", "bbbb", "cccc"
	as := func(p Principal, role string, expires time.Time) Principal {
		q := holder(t, role, p.Scope)
		q.Token, q.Expires = p.Token, expires
		return q
	}
	moved := as(viewer, Viewer, time.Time{})
	moved.Scope = "bolt"
	brief := a
	brief.Expires = now.Add(time.Hour)
	clerk := with(t, TokenWrite)
	clerk.Permissions = clerk.Permissions.Or(viewer.Permissions)
	for _, tc := range []struct {
		name         string
		p, was, will Principal
		others       []Principal
		want         error
	}{
		{"a viewer becomes operator", a, viewer, as(viewer, Operator, time.Time{}), nil, nil},
		{"one of two admins becomes viewer", a, b, as(b, Viewer, time.Time{}), []Principal{a, b}, nil},
		{"the last admin becomes viewer", a, a, as(a, Viewer, time.Time{}), []Principal{a, viewer}, ErrLastAdmin},
		{"the last admin gets an end", a, a, as(a, Admin, now.Add(time.Hour)), []Principal{a}, nil},
		{"a clerk makes itself admin", clerk, clerk, as(clerk, Admin, time.Time{}), nil, ErrForbidden},
		{"a clerk makes an admin viewer", clerk, b, as(b, Viewer, time.Time{}), []Principal{a, b}, ErrForbidden},
		{"one prolongs itself", brief, brief, as(a, Admin, time.Time{}), []Principal{a}, ErrForbidden},
		{"to another tenant", service, viewer, moved, nil, errAny},
		{"into another token", a, viewer, as(b, Viewer, time.Time{}), nil, errAny},
	} {
		outcome(t, tc.name, CanChange(tc.p, tc.was, tc.will, tc.others, now), tc.want)
	}
}

func TestCanGrant(t *testing.T) {
	admin := holder(t, Admin, "acme")
	brief := admin
	brief.Expires = now.Add(time.Hour)
	clerk := with(t, GrantWrite, DeviceRead, TenantRead, ReleaseRead, RolloutRead, ReportRead)
	guest := holder(t, Admin, "bolt")
	guest.Grants = []Grant{{From: "acme", To: "bolt", Permissions: All()}}
	grant := func(role string, from, to Scope, expires time.Time) Grant {
		r, _ := Find(role)
		return Grant{From: from, To: to, Role: role, Permissions: r.Permissions, Expires: expires}
	}
	ended := grant(Viewer, "acme", "bolt", time.Time{})
	ended.Ended = now
	for _, tc := range []struct {
		name string
		p    Principal
		g    Grant
		want error
	}{
		{"an admin lets an admin in", admin, grant(Admin, "acme", "bolt", time.Time{}), nil},
		{"a clerk lets a viewer in", clerk, grant(Viewer, "acme", "bolt", time.Time{}), nil},
		{"a clerk lets an operator in", clerk, grant(Operator, "acme", "bolt", time.Time{}), ErrForbidden},
		{"an operator lets a viewer in", holder(t, Operator, "acme"), grant(Viewer, "acme", "bolt", time.Time{}), ErrForbidden},
		{"into another tenant", admin, grant(Viewer, "corp", "bolt", time.Time{}), ErrNotFound},
		{"a guest lets another in", guest, grant(Viewer, "acme", "corp", time.Time{}), ErrForbidden},
		{"longer than the token lasts", brief, grant(Viewer, "acme", "bolt", time.Time{}), ErrForbidden},
		{"as long as the token lasts", brief, grant(Viewer, "acme", "bolt", brief.Expires), nil},
		{"itself", admin, grant(Viewer, "acme", "acme", time.Time{}), errAny},
		{"the service", admin, grant(Viewer, "acme", Service, time.Time{}), errAny},
		{"into the service", holder(t, Admin, Service), grant(Viewer, Service, "acme", time.Time{}), errAny},
		{"over before it begins", admin, grant(Viewer, "acme", "bolt", now), errAny},
		{"ended before it begins", admin, ended, errAny},
		{"to nobody", admin, grant(Viewer, "acme", "", time.Time{}), errAny},
		{"nothing that can be granted", admin, Grant{From: "acme", To: "bolt", Permissions: set(t, TokenWrite, ServiceBackup)}, errAny},
	} {
		outcome(t, tc.name, CanGrant(tc.p, tc.g, now), tc.want)
	}
	g := grant(Viewer, "acme", "bolt", time.Time{})
	for name, tc := range map[string]struct {
		p    Principal
		want error
	}{
		"the giver": {admin, nil}, "the guest": {holder(t, Admin, "bolt"), nil}, "a viewer of the giver": {holder(t, Viewer, "acme"), ErrForbidden},
		"a viewer of the guest": {holder(t, Viewer, "bolt"), ErrNotFound}, "somebody else": {holder(t, Admin, "corp"), ErrNotFound}, "the service": {holder(t, Admin, Service), nil},
	} {
		outcome(t, name+" ends it", CanEndGrant(tc.p, g, now), tc.want)
	}
}
