package access_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/fairlead/fairlead/tufrepo/director/access"
)

var now = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)

// holder is a principal with a built-in role.
func holder(t testing.TB, role string, s Scope) Principal {
	t.Helper()
	r, ok := Find(role)
	if !ok {
		t.Fatalf("there is no role %s", role)
	}
	return Principal{Token: "k3v9x0a2bq", Scope: s, Role: role, Permissions: r.Permissions}
}

// with is a principal of tenant acme with a custom role.
func with(t testing.TB, all ...Permission) Principal {
	t.Helper()
	return Principal{Token: "0000000000", Scope: "acme", Role: "custom", Permissions: set(t, all...)}
}

func set(t testing.TB, all ...Permission) Set {
	t.Helper()
	s, err := NewSet(all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// row is a line of the table in the package's text: who has the permission, and what
// stands behind it.
type row struct {
	roles []string
	note  string
}

// table reads the package's text: what it promises is what is tested.
func table(t *testing.T) map[Permission]row {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var heads []string
	var at []int // columns in which an x may stand, one for each of heads
	all := map[Permission]row{}
	for line := range strings.Lines(string(text)) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		fields := strings.Fields(line)
		switch {
		case !ok || len(fields) == 0:
		case fields[0] == Viewer:
			heads = fields
			for _, h := range heads {
				at = append(at, strings.Index(line, h))
			}
		case len(heads) > 0 && strings.Contains(fields[0], ".") && fields[0] == strings.TrimSpace(line[:min(17, len(line))]):
			all[Permission(fields[0])] = cells(t, line, heads, at)
		}
	}
	return all
}

func cells(t *testing.T, line string, heads []string, at []int) (r row) {
	t.Helper()
	last := at[len(at)-1] + len(heads[len(heads)-1])
	r.note = strings.TrimSpace(line[min(last, len(line)):])
	for i, c := range line[:min(last, len(line))] {
		if i < at[0] || c == ' ' {
			continue
		}
		n := slices.IndexFunc(at, func(from int) bool { return from <= i && i < from+8 })
		if c != 'x' || n < 0 {
			t.Fatalf("what does %q mean at column %d of %q?", c, i, line)
		}
		r.roles = append(r.roles, heads[n])
	}
	return r
}

// TestEveryRoleAndPermission holds each cell of the table, for a tenant's token, for one of
// the service, and for one that came by a grant.
func TestEveryRoleAndPermission(t *testing.T) {
	all := table(t)
	if len(all) != len(Permissions()) {
		t.Errorf("the table has %d permissions, there are %d", len(all), len(Permissions()))
	}
	for _, r := range BuiltIn() {
		ours, whole := holder(t, r.Name, "acme"), holder(t, r.Name, Service)
		guest := holder(t, Admin, "bolt")
		guest.Grants = []Grant{{From: "acme", To: "bolt", Role: r.Name, Permissions: r.Permissions}}
		for _, p := range Permissions() {
			cell := all[p]
			want := slices.Contains(cell.roles, r.Name)
			service, never := cell.note == "service tokens only", cell.note == "never by a grant"
			if cell.note != "" && !service && !never {
				t.Errorf("%s: what does %q mean?", p, cell.note)
			}
			check := func(who string, principal Principal, s Scope, want bool) {
				err := Allow(principal, p, s, now)
				if (err == nil) != want || err != nil && !errors.Is(err, ErrForbidden) {
					t.Errorf("%s of %s, %s: %v; want it allowed: %v", r.Name, who, p, err, want)
				}
			}
			check("a tenant", ours, "acme", want && !service)
			check("a tenant at the service", ours, Service, false)
			check("the service in a tenant", whole, "acme", want)
			check("the service", whole, Service, want)
			check("a guest", guest, "acme", want && !service && !never)
		}
	}
}

// TestListIsComplete reads the source: a constant that is in no list, or in no role, is
// found here.
func TestListIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "permission.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []Permission
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Permission" {
				names = append(names, Permission(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
		return true
	})
	if all := Permissions(); len(names) < 20 || !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(all))) {
		t.Errorf("constants %v, list %v", names, all)
	}
	for _, p := range names {
		if !slices.ContainsFunc(BuiltIn(), func(r Role) bool { return r.Permissions.Has(p) }) {
			t.Errorf("%s is in no built-in role", p)
		}
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	for _, role := range []string{Admin, Operator, Release, Viewer, Auditor} {
		ours := holder(t, role, "acme")
		for _, p := range Permissions() {
			there, absent := Allow(ours, p, "bolt", now), Allow(ours, p, "no-such-tenant", now)
			if !errors.Is(there, ErrNotFound) || there.Error() != absent.Error() {
				t.Errorf("%s, %s: %v for another tenant, %v for none", role, p, there, absent)
			}
		}
	}
}

func TestWhatWasForgottenOpensNothing(t *testing.T) {
	all := All()
	for name, p := range map[string]Principal{"zero": {}, "no scope": {Token: "x", Permissions: all}, "no id": {Scope: Service, Permissions: all},
		"grant to nobody": {Token: "x", Permissions: all, Grants: []Grant{{From: "acme", Permissions: all}}}} {
		for _, s := range []Scope{"", "acme", Service} {
			if err := Allow(p, TenantRead, s, now); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s in scope %q: %v", name, s, err)
			}
		}
	}
	for _, s := range []Scope{"acme", Service} {
		if err := Allow(holder(t, Admin, s), TenantRead, "", now); !errors.Is(err, ErrNotFound) {
			t.Errorf("no scope was asked for: %v", err)
		}
		if err := Allow(holder(t, Admin, s), "coffee.make", s, now); !errors.Is(err, ErrForbidden) {
			t.Errorf("an unknown permission: %v", err)
		}
	}
}

func TestExpiry(t *testing.T) {
	p := holder(t, Admin, Service)
	p.Expires = now.Add(time.Second)
	if err := Allow(p, TenantRead, "acme", now); err != nil {
		t.Errorf("a second before: %v", err)
	}
	for _, late := range []time.Duration{time.Second, time.Hour} {
		if err := Allow(p, TenantRead, "acme", now.Add(late)); !errors.Is(err, ErrExpired) {
			t.Errorf("%s later: %v", late, err)
		}
	}
}

func TestGrants(t *testing.T) {
	viewer, _ := Find(Viewer)
	operator, _ := Find(Operator)
	let := Grant{From: "acme", To: "bolt", Role: Operator, Permissions: operator.Permissions, Expires: now.Add(time.Hour)}
	ended := let
	ended.Ended = now.Add(time.Minute)
	guest := holder(t, Operator, "bolt")
	weak := holder(t, Viewer, "bolt")
	other := holder(t, Operator, "corp")
	guest.Grants, weak.Grants, other.Grants = []Grant{let}, []Grant{let}, []Grant{let}
	gone := guest
	gone.Grants = []Grant{ended}
	narrow := guest
	narrow.Grants = []Grant{{From: "acme", To: "bolt", Role: Viewer, Permissions: viewer.Permissions}}
	both := guest
	both.Grants = append(slices.Clone(narrow.Grants), let)
	for _, tc := range []struct {
		name  string
		p     Principal
		what  Permission
		after time.Duration
		want  error
	}{
		{"granted", guest, DirectWrite, 0, nil},
		{"not in the grant", guest, RolloutWrite, 0, ErrForbidden},
		{"the token has less than the grant", weak, DirectWrite, 0, ErrForbidden},
		{"what both have", weak, DeviceRead, 0, nil},
		{"the grant has less than the token", narrow, DirectWrite, 0, ErrForbidden},
		{"two grants add up", both, DirectWrite, 0, nil},
		{"granted to somebody else", other, DeviceRead, 0, ErrNotFound},
		{"just before it expires", guest, DeviceRead, time.Hour - time.Second, nil},
		{"it has expired", guest, DeviceRead, time.Hour, ErrNotFound},
		{"just before it was ended", gone, DeviceRead, time.Minute - time.Second, nil},
		{"it was ended", gone, DeviceRead, time.Minute, ErrNotFound},
		{"one of two has expired", both, DirectWrite, time.Hour, ErrForbidden},
	} {
		if err := Allow(tc.p, tc.what, "acme", now.Add(tc.after)); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if err := Allow(guest, DirectWrite, "bolt", now); err != nil {
		t.Errorf("at home: %v", err)
	}
}

func TestWhere(t *testing.T) {
	operator, _ := Find(Operator)
	guest := holder(t, Operator, "bolt")
	for _, from := range []Scope{"acme", "corp", "acme"} {
		guest.Grants = append(guest.Grants, Grant{From: from, To: "bolt", Permissions: operator.Permissions})
	}
	guest.Grants[1].Ended = now
	for _, tc := range []struct {
		p    Principal
		what Permission
		all  bool
		want []string
	}{
		{guest, DeviceRead, false, []string{"bolt", "acme"}},
		{guest, RolloutWrite, false, nil},
		{holder(t, Viewer, Service), DeviceRead, true, nil},
		{holder(t, Viewer, Service), DeviceWrite, false, nil},
	} {
		if all, got := Where(tc.p, tc.what, now); all != tc.all || !slices.Equal(got, tc.want) {
			t.Errorf("%s of %s: %v, %v", tc.what, tc.p.Scope, all, got)
		}
	}
}

func TestSets(t *testing.T) {
	s := set(t, DeviceRead, AuditRead, DeviceRead)
	text, err := json.Marshal(s)
	if want := `["device.read","audit.read"]`; err != nil || string(text) != want || s.String() != "device.read, audit.read" {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	var again Set
	if err := json.Unmarshal(text, &again); err != nil || again != s {
		t.Errorf("%v, %v", again, err)
	}
	for _, bad := range []string{`["device.fly"]`, `"device.read"`, `[1]`} {
		if err := json.Unmarshal([]byte(bad), &again); err == nil {
			t.Errorf("%s became %v", bad, again)
		}
	}
	if text, _ := json.Marshal(Set{}); string(text) != "[]" {
		t.Errorf("the empty set is %s", text)
	}
	if got := All().Without(s); got.Has(AuditRead) || !got.Has(TokenRead) || got.Or(s) != All() || got.And(s) != (Set{}) {
		t.Errorf("%v", got)
	}
}
