package service_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// as is the service as somebody else sees it.
func (s *site) as(token string) *site {
	o := *s
	o.api.Token = token
	return &o
}

// refusal is the status of a call that must fail.
func (s *site) refusal(method, path string, in any) int {
	s.t.Helper()
	err := s.api.Do(context.Background(), method, path, in, nil)
	var refused *api.Error
	if !errors.As(err, &refused) {
		s.t.Errorf("%s %s: %v, want a refusal", method, path, err)
		return 0
	}
	return refused.Status
}

// behind changes the database behind the service's back.
func (s *site) behind(statement string) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(service.StateDir(s.repo), "fairlead.db"))
	must(s.t, err)
	defer db.Close()
	_, err = db.Exec("PRAGMA busy_timeout = 5000; " + statement)
	must(s.t, err)
}

func (s *site) localToken() string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(service.StateDir(s.repo), service.TokenFile))
	must(s.t, err)
	return strings.TrimSpace(string(b))
}

// TestNothingChangesUntold: where the audit log cannot be written, a call that would change
// something fails, changes nothing, and hands no secret out.
func TestNothingChangesUntold(t *testing.T) {
	s := newSite(t)
	claim := s.tenant("acme", 5)
	dev := s.enrolled(claim, "s1").resp.Device
	s.ask("PUT", "/tenants/acme/roles/watch", api.NewRole{Permissions: []string{"device.read"}}, &api.Role{})
	s.tenant("msp", 1)
	s.behind("CREATE TRIGGER deaf BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'deaf'); END")
	for path, in := range map[string]any{
		"POST /tenants/acme/key":           api.NewKey{},
		"POST /claim-tokens":               api.NewClaim{Tenant: "acme", Uses: 1, Seconds: 60},
		"POST /devices/" + dev + "/revoke": nil,
		"POST /directions":                 api.Order{Tenant: "acme", All: true},
		"POST /tenants/acme/tokens":        api.NewToken{Name: "x", Role: access.Viewer},
		"PUT /tenants/acme/roles/other":    api.NewRole{Permissions: []string{"device.read"}},
		"DELETE /tenants/acme/roles/watch": nil,
		"POST /tenants/acme/grants":        api.NewGrant{To: "msp", Role: access.Viewer},
		"POST /tenants/acme/audit/export":  nil,
	} {
		method, path, _ := strings.Cut(path, " ")
		if status := s.refusal(method, path, in); status != http.StatusServiceUnavailable {
			t.Errorf("%s %s without an audit log: %d", method, path, status)
		}
	}
	if r := s.stranger(); r.do("POST", "/v1/enroll", r.enrollRequest(claim, "s2")).status == 200 {
		t.Error("a device enrolled without an audit log")
	}
	s.behind("DROP TRIGGER deaf")
	var claims api.Claims
	s.ask("GET", "/claim-tokens", nil, &claims)
	var d api.Device
	s.ask("GET", "/devices/"+dev, nil, &d)
	var tokens api.Tokens
	s.ask("GET", "/tenants/acme/tokens", nil, &tokens)
	var roles api.Roles
	s.ask("GET", "/tenants/acme/roles", nil, &roles)
	var grants api.Grants
	s.ask("GET", "/tenants/acme/grants", nil, &grants)
	if len(claims.Claims) != 2 || d.Revoked != nil || d.Direction != 1 || len(tokens.Tokens) != 0 || len(roles.Roles) != 6 || len(grants.Given) != 0 {
		t.Errorf("something was changed: %d claims, device %+v, %d tokens, %d roles, %d grants", len(claims.Claims), d, len(tokens.Tokens), len(roles.Roles), len(grants.Given))
	}
}

// TestRefusalsAreSummed: who has no token does not fill the log.
func TestRefusalsAreSummed(t *testing.T) {
	var later atomic.Int64
	begin := time.Now().Truncate(time.Minute).Add(time.Second)
	s := newSite(t, func(c *service.Config) {
		c.Clock = func() time.Time { return begin.Add(time.Duration(later.Load())) }
	})
	stranger := s.as("flt_nonsense")
	for range 50 {
		stranger.refusal("GET", "/devices", nil)
	}
	nobody := func() []api.AuditEntry { return s.log("", url.Values{"actor": {"nobody"}}) }
	if all := nobody(); len(all) != 1 || count(t, all[0]) != 1 {
		t.Fatalf("at first: %+v", all)
	}
	later.Store(int64(time.Minute))
	stranger.refusal("GET", "/devices", nil)
	if all := nobody(); len(all) != 3 || count(t, all[1]) != 49 {
		t.Fatalf("a minute later: %+v", all)
	}
	stranger.refusal("GET", "/devices", nil)
	must(t, s.stop())
	s.start(func(c *service.Config) { c.Clock = time.Now })
	if all := nobody(); len(all) != 4 {
		t.Errorf("what was counted at the end is not written: %+v", all)
	}
	var r api.AuditReport
	s.ask("POST", "/audit/verify", nil, &r)
	if !r.Whole || r.Heads == 0 {
		t.Errorf("after a restart: %s", r.Text)
	}
}

func TestTheTokenOfTheMachine(t *testing.T) {
	s := newSite(t)
	first := s.localToken()
	must(t, s.stop())
	s.start()
	if s.localToken() != first {
		t.Error("a restart makes another token")
	}

	// One of the form of earlier versions is replaced where nobody else is an admin.
	must(t, s.stop())
	must(t, os.Remove(filepath.Join(service.StateDir(s.repo), "fairlead.db")))
	path := filepath.Join(service.StateDir(s.repo), service.TokenFile)
	must(t, os.WriteFile(path, []byte(strings.Repeat("x", 43)+"\n"), 0o600))
	s.start()
	second := s.localToken()
	s.ask("GET", "/tenants", nil, &api.Tenants{})

	// Whoever can remove the file gets another, and the one before ends.
	must(t, s.stop())
	must(t, os.Remove(path))
	s.start()
	if third := s.localToken(); third == second || s.as(second).refusal("GET", "/tenants", nil) != 401 {
		t.Error("the token that was removed still counts")
	}
	s.ask("GET", "/tenants", nil, &api.Tenants{})
	second = s.localToken()

	// Withdrawn where another admin is left, it stays withdrawn.
	var other api.Token
	s.ask("POST", "/tokens", api.NewToken{Name: "admin", Role: access.Admin}, &other)
	id := strings.Split(second, "_")[1]
	if status := s.as(other.Token).refusal("POST", "/tokens/"+strings.Split(other.Token, "_")[1]+"x/revoke", nil); status != 404 {
		t.Errorf("revoking a token that is not there: %d", status)
	}
	s.as(other.Token).ask("POST", "/tokens/"+id+"/revoke", nil, &api.Token{})
	must(t, s.stop())
	s.start()
	if status := s.refusal("GET", "/tenants", nil); status != 401 {
		t.Errorf("the withdrawn token of the machine: %d", status)
	}
	s.as(other.Token).ask("GET", "/tenants", nil, &api.Tenants{})
}

// TestListsShowWhatIsOnesOwn: also where a grant adds a second tenant, and page by page.
func TestListsShowWhatIsOnesOwn(t *testing.T) {
	s := newSite(t)
	want := map[string]bool{}
	for _, name := range []string{"acme", "msp", "hidden"} {
		claim := s.tenant(name, 3)
		for _, serial := range []string{"a", "b", "c"} {
			u := s.enrolled(claim, serial)
			s.direct(name, "1.1.0", u)
			want[u.resp.Device] = name != "hidden"
		}
	}
	var desk api.Token
	s.ask("POST", "/tenants/msp/tokens", api.NewToken{Name: "desk", Role: access.Operator}, &desk)
	s.ask("POST", "/tenants/acme/grants", api.NewGrant{To: "msp", Role: access.Viewer}, &api.Grant{})
	d := s.as(desk.Token)
	got := map[string]bool{}
	for after := ""; ; {
		var page api.Devices
		d.ask("GET", "/devices?limit=2&after="+after, nil, &page)
		for _, one := range page.Devices {
			got[one.ID] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for id, shown := range want {
		if got[id] != shown {
			t.Errorf("device %s shown: %v, want %v", id, got[id], shown)
		}
	}
	var updates api.Updates
	d.ask("GET", "/updates", nil, &updates)
	var tenants api.Tenants
	d.ask("GET", "/tenants", nil, &tenants)
	var claims api.Claims
	d.ask("GET", "/claim-tokens", nil, &claims)
	if len(updates.Updates) != 6 || len(tenants.Tenants) != 2 || len(claims.Claims) != 1 {
		t.Errorf("%d updates, %d tenants, %d claims; want 6, 2, 1", len(updates.Updates), len(tenants.Tenants), len(claims.Claims))
	}
	if status := d.refusal("POST", "/claim-tokens", api.NewClaim{Tenant: "acme", Uses: 1, Seconds: 60}); status != 403 {
		t.Errorf("a viewer by grant makes a claim token: %d", status)
	}
	if status := d.refusal("GET", "/devices?tenant=hidden", nil); status != 404 {
		t.Errorf("a list of another's tenant: %d", status)
	}
}

// TestLogsTellNobodyWhichTenantsExist: what a caller may not see leaves the same trace whether
// it is there or not.
func TestLogsTellNobodyWhichTenantsExist(t *testing.T) {
	s := newSite(t)
	dev := s.enrolled(s.tenant("acme", 1), "s1").resp.Device
	s.tenant("other", 1)
	var token api.Token
	s.ask("POST", "/tenants/other/tokens", api.NewToken{Name: "admin", Role: access.Admin}, &token)
	o := s.as(token.Token)
	for _, paths := range [][2]string{
		{"GET /tenants/acme/tokens", "GET /tenants/nowhere/tokens"},
		{"POST /tenants/acme/key", "POST /tenants/nowhere/key"},
		{"GET /devices/" + dev, "GET /devices/nothing"},
		{"POST /devices/" + dev + "/revoke", "POST /devices/nothing/revoke"},
	} {
		var traces []string
		for _, p := range paths {
			method, path, _ := strings.Cut(p, " ")
			if status := o.refusal(method, path, nil); status != 404 {
				t.Errorf("%s: %d", p, status)
			}
			var page api.AuditEntries
			o.ask("GET", "/tenants/other/audit?limit=1", nil, &page)
			e := page.Entries[0]
			trace, err := json.Marshal(e)
			must(t, err)
			text := strings.NewReplacer("acme", "X", "nowhere", "X", dev, "X", "nothing", "X").Replace(string(trace))
			i := strings.Index(text, `"actor"`)
			traces = append(traces, text[i:])
		}
		if traces[0] != traces[1] {
			t.Errorf("%s and %s leave different traces:\n%s\n%s", paths[0], paths[1], traces[0], traces[1])
		}
	}
	if all := s.log("acme", url.Values{"outcome": {"refused"}}); len(all) != 0 {
		t.Errorf("the log of acme has %+v", all)
	}
}

// TestLogsHaveNoSecrets: also where somebody gives a token in place of its id.
func TestLogsHaveNoSecrets(t *testing.T) {
	s := newSite(t)
	claim := s.tenant("acme", 1)
	var token api.Token
	s.ask("POST", "/tenants/acme/tokens", api.NewToken{Name: "x", Role: access.Admin}, &token)
	s.refusal("POST", "/tokens/"+token.Token+"/revoke", nil)
	s.as(token.Token).refusal("GET", "/devices/"+claim, nil)
	s.refusal("DELETE", "/tenants/acme/claim-tokens/"+claim, nil)
	for _, tenant := range []string{"", "acme"} {
		text, err := json.Marshal(s.log(tenant, url.Values{}))
		must(t, err)
		for _, secret := range []string{token.Token, claim} {
			if strings.Contains(string(text), secret[len(secret)-20:]) {
				t.Errorf("the log of %q has the secret of %.20s", tenant, secret)
			}
		}
		if tenant == "" && !strings.Contains(string(text), "token/flt_"+token.ID+"_...") {
			t.Errorf("the log does not say which token was meant: %s", text)
		}
	}
}

// TestAuditKeyChanges: heads of a key whose private half is gone still count.
func TestAuditKeyChanges(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	for _, n := range []int{2, 3} {
		must(t, s.stop())
		must(t, os.Remove(filepath.Join(service.StateDir(s.repo), "keys", fmt.Sprintf("audit.heads.%d.key", n-1))))
		s.start()
		s.ask("POST", "/tenants/acme/tokens", api.NewToken{Name: "x", Role: access.Viewer}, &api.Token{})
		var heads api.AuditHeads
		s.ask("GET", "/audit/heads", nil, &heads)
		var r api.AuditReport
		s.ask("POST", "/audit/verify", nil, &r)
		if len(heads.Keys) != n || !r.Whole || r.Sealed == 0 {
			t.Errorf("%d keys, want %d; %s", len(heads.Keys), n, r.Text)
		}
	}
}

func TestTokenUseIsNotedOnceAMinute(t *testing.T) {
	var later atomic.Int64
	begin := time.Now().Truncate(time.Second)
	s := newSite(t, func(c *service.Config) {
		c.Clock = func() time.Time { return begin.Add(time.Duration(later.Load())) }
	})
	used := func() time.Time {
		t.Helper()
		var all api.Tokens
		s.ask("GET", "/tokens", nil, &all)
		return *all.Tokens[0].Used
	}
	for _, c := range []struct{ at, want time.Duration }{{0, 0}, {30 * time.Second, 0}, {59 * time.Second, 0}, {61 * time.Second, 61 * time.Second}, {100 * time.Second, 61 * time.Second}} {
		later.Store(int64(c.at))
		if got := used(); !got.Equal(begin.Add(c.want)) {
			t.Errorf("after %s: used at %s, want %s", c.at, got.Sub(begin), c.want)
		}
	}
}
