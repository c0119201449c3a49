package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// matrix tries every route with every kind of caller. All that is asked for is of tenant acme,
// or of the service.
type matrix struct {
	*site
	device  string // of acme
	refused []wanted
	nobody  int // refusals of who proved nothing
}

// wanted is a refusal that must stand in a log.
type wanted struct {
	chain, actor, action, call, path string
}

// asker is one kind of caller.
type asker struct {
	name  string
	role  access.Role
	scope access.Scope
	token api.Token
}

func TestEveryRouteByEverybody(t *testing.T) {
	var later atomic.Int64
	s := newSite(t, func(c *service.Config) {
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	claim := s.tenant("acme", 5)
	s.tenant("other", 1)
	s.tenant("third", 1)
	m := &matrix{site: s, device: s.enrolled(claim, "s1").resp.Device}
	expired := m.token("acme", access.Admin, 60)
	revoked := m.token("acme", access.Admin, 0)
	s.ask("POST", "/tokens/"+revoked.ID+"/revoke", nil, &api.Token{})
	var all []asker
	for _, role := range access.BuiltIn() {
		for _, scope := range []access.Scope{"acme", "other", access.Service} {
			tenant := strings.TrimSuffix(string(scope), "*")
			all = append(all, asker{fmt.Sprintf("%s of %s", role.Name, scope), role, scope, m.token(tenant, role.Name, 0)})
		}
	}
	later.Store(int64(2 * time.Minute))
	for _, row := range s.OperatorRows() {
		for _, a := range all {
			m.try(row, a)
		}
		for name, text := range map[string]string{"no token": "", "garbage": "flt_garbage", "a stranger": stranger(t)} {
			m.outside(row, name, text, "")
			m.nobody++
		}
		m.outside(row, "an expired token", expired.Token, expired.ID)
		m.outside(row, "a revoked token", revoked.Token, revoked.ID)
	}
	later.Store(int64(4 * time.Minute)) // what was counted is written
	m.outside(s.OperatorRows()[0], "no token", "", "")
	m.nobody++
	m.checkLogs()
}

func (m *matrix) token(tenant, role string, seconds int64) (out api.Token) {
	m.t.Helper()
	path := "/tokens"
	if tenant != "" {
		path = "/tenants/" + tenant + "/tokens"
	}
	m.ask("POST", path, api.NewToken{Name: "test", Role: role, Seconds: seconds}, &out)
	return out
}

// stranger is a token of a good form that nobody has made here.
func stranger(t *testing.T) string {
	t.Helper()
	token, _, err := access.NewToken(bytes.NewReader(make([]byte, 64)))
	must(t, err)
	return token.Reveal()
}

// prepared are the routes for whose objects the matrix makes something that is there.
func (m *matrix) prepared(row service.Row) (path string, body any, known bool) {
	_, path, _ = strings.Cut(row.Pattern, " ")
	path = strings.ReplaceAll(path, "{tenant}", "acme")
	tenant := ""
	if strings.Contains(row.Pattern, "{tenant}") {
		tenant = "/tenants/acme"
	}
	switch {
	case strings.Contains(path, "/devices/{id}"):
		return strings.ReplaceAll(path, "{id}", m.device), minimal(row.In), true
	case strings.Contains(path, "/tokens/{id}"):
		return strings.ReplaceAll(path, "{id}", m.token("acme", access.Viewer, 0).ID), nil, true
	case strings.Contains(path, "/roles/{role}"):
		m.ask("PUT", tenant+"/roles/some", api.NewRole{Permissions: []string{"tenant.read"}}, &api.Role{})
		return strings.ReplaceAll(path, "{role}", "some"), api.NewRole{Permissions: []string{"tenant.read"}}, true
	case strings.HasSuffix(path, "/grants/end"):
		var have api.Grants
		m.ask("GET", "/tenants/acme/grants", nil, &have)
		if !slices.ContainsFunc(have.Given, func(g api.Grant) bool { return g.Ended == nil }) {
			m.ask("POST", "/tenants/acme/grants", api.NewGrant{To: "third", Role: access.Viewer}, &api.Grant{})
		}
		return path, api.EndGrant{Tenant: "acme", To: "third", Role: access.Viewer}, true
	case strings.Contains(path, "{"):
		for strings.Contains(path, "{") {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + "1" + after
		}
		return path, minimal(row.In), false
	}
	return path, minimal(row.In), true
}

// minimal is an empty request, of tenant acme where it names one.
func minimal(in any) any {
	if in == nil {
		return nil
	}
	v := reflect.New(reflect.TypeOf(in)).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "tenant" || name == "name" && v.Type().Name() == "NewTenant" {
			v.Field(i).SetString("acme")
		}
		if raw, ok := v.Field(i).Addr().Interface().(*json.RawMessage); ok {
			*raw = json.RawMessage("{}")
		} else if v.Field(i).Kind() == reflect.Slice {
			v.Field(i).Set(reflect.MakeSlice(v.Field(i).Type(), 0, 0))
		}
	}
	return v.Interface()
}

// allowed is what the rules say of a call.
func allowed(row service.Row, a asker) error {
	p := access.Principal{Token: "x", Scope: a.scope, Role: a.role.Name, Permissions: a.role.Permissions}
	scope := access.Scope("acme")
	switch method, path, _ := strings.Cut(row.Pattern, " "); {
	case row.Asks && strings.Contains(path, "{tenant}"):
		scope = access.Service // done to a tenant, from above
	case strings.Contains(path, "{tenant}"):
	case row.Asks && method == "GET" && !strings.Contains(path, "{"):
		scope = a.scope // a list: of what the caller may see
	case !row.Asks:
		scope = access.Service
	}
	return access.Allow(p, row.Permission, scope, time.Now())
}

// dangerous are calls that would take the ground from under the others.
func dangerous(p access.Permission) bool {
	return slices.Contains([]access.Permission{access.TenantPurge, access.DevicePurge, access.ServiceBackup}, p)
}

func (m *matrix) try(row service.Row, a asker) {
	m.t.Helper()
	want := allowed(row, a)
	if want == nil && dangerous(row.Permission) {
		return
	}
	path, body, known := m.prepared(row)
	status, message := m.call(row, path, body, a.token.Token)
	switch {
	case want == nil:
		hidden := status == http.StatusNotFound && known && message == "there is nothing of that name"
		if status == http.StatusUnauthorized || status == http.StatusForbidden || hidden {
			m.t.Errorf("%s by %s: %d %s, want it to be allowed", row.Pattern, a.name, status, message)
		}
		return
	case want == access.ErrNotFound && status != http.StatusNotFound:
		m.t.Errorf("%s by %s: %d %s, want 404", row.Pattern, a.name, status, message)
	case want == access.ErrNotFound && message != "there is nothing of that name":
		m.t.Errorf("%s by %s: %q says more than it should", row.Pattern, a.name, message)
	case want != access.ErrNotFound && status != http.StatusForbidden:
		m.t.Errorf("%s by %s: %d %s, want 403", row.Pattern, a.name, status, message)
	}
	m.refused = append(m.refused, m.told(row, path, a, want))
}

// told is where a refusal must stand: in the log of the caller's own organisation, but for
// what is the service's.
func (m *matrix) told(row service.Row, path string, a asker, err error) wanted {
	w := wanted{chain: strings.TrimSuffix(string(a.scope), "*"), actor: "token/" + a.token.ID, action: string(row.Action), call: row.Pattern, path: path}
	if w.action == "" {
		w.action = "access.refuse"
	}
	if err != access.ErrNotFound && strings.Contains(row.Pattern, "{tenant}") == row.Asks {
		w.chain = ""
	}
	return w
}

// outside tries with what is no token, or no longer one.
func (m *matrix) outside(row service.Row, name, token, id string) {
	m.t.Helper()
	path := strings.NewReplacer("{tenant}", "acme", "{", "", "}", "").Replace(strings.SplitN(row.Pattern, " ", 2)[1])
	status, message := m.call(row, path, nil, token)
	if status != http.StatusUnauthorized {
		m.t.Errorf("%s with %s: %d %s, want 401", row.Pattern, name, status, message)
	}
	if id != "" {
		m.refused = append(m.refused, wanted{chain: "acme", actor: "token/" + id, action: "access.refuse"})
	}
}

func (m *matrix) call(row service.Row, path string, body any, token string) (status int, message string) {
	m.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		must(m.t, err)
	}
	method, _, _ := strings.Cut(row.Pattern, " ")
	req, err := http.NewRequest(method, m.api.URL+path, bytes.NewReader(text))
	must(m.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(m.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(m.t, err)
	if e, err := wire.DecodeError(b); err == nil {
		message = e.Error.Message
	}
	return resp.StatusCode, message
}

func (m *matrix) checkLogs() {
	m.t.Helper()
	logs := map[string][]api.AuditEntry{}
	for _, chain := range []string{"", "acme", "other"} {
		logs[chain] = m.log(chain, url.Values{"outcome": {"refused"}})
	}
	nobody := 0
	for _, e := range logs[""] {
		if e.Actor == "nobody" {
			nobody += count(m.t, e)
		}
	}
	if nobody != m.nobody {
		m.t.Errorf("the log of the service tells of %d refusals of callers without a token, want %d", nobody, m.nobody)
	}
	for _, w := range m.refused {
		if !slices.ContainsFunc(logs[w.chain], func(e api.AuditEntry) bool { return w.is(m.t, e) }) {
			m.t.Errorf("the log of %q does not have %+v", w.chain, w)
		}
	}
	for _, chain := range []string{"", "acme", "other", "third"} {
		path := strings.ReplaceAll("/tenants/"+chain+"/audit/verify", "/tenants//", "/")
		var r api.AuditReport
		m.ask("POST", path, nil, &r)
		if !r.Whole {
			m.t.Errorf("log of %q: %s", chain, r.Text)
		}
	}
}

func (w wanted) is(t testing.TB, e api.AuditEntry) bool {
	var d struct{ Call, Path string }
	must(t, json.Unmarshal(e.Detail, &d))
	return e.Actor == w.actor && e.Action == w.action && e.Source == "127.0.0.1" && (w.call == "" || d.Call == w.call && d.Path == w.path)
}

// count is how many refusals an entry stands for.
func count(t testing.TB, e api.AuditEntry) int {
	var d struct{ More int }
	must(t, json.Unmarshal(e.Detail, &d))
	return max(d.More, 1)
}

// log reads all of a chain that is asked for.
func (s *site) log(tenant string, q url.Values) (out []api.AuditEntry) {
	s.t.Helper()
	path := "/audit"
	if tenant != "" {
		path = "/tenants/" + tenant + "/audit"
	}
	q.Set("limit", "10000")
	var page api.AuditEntries
	s.ask("GET", path+"?"+q.Encode(), nil, &page)
	return page.Entries
}
