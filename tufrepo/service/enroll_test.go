package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func (u *unit) user() string {
	if u.pass == "" {
		return ""
	}
	return u.resp.Device
}

// custom is a custom device of a tenant, which is allowed to have some.
func (s *site) custom(tenant, name string) *unit {
	s.t.Helper()
	s.ask("PUT", "/tenants/"+tenant+"/enroll-policy", api.Policy{Ways: []string{"token", "custom"}}, &api.Policy{})
	var c api.Custom
	s.ask("POST", "/tenants/"+tenant+"/customs", api.NewCustom{Name: name, Product: repotest.Product, Hardware: repotest.Hardware}, &c)
	u := &unit{s: s, pass: c.Key}
	u.resp.Tenant, u.resp.Device = tenant, c.ID
	root := u.do("GET", wire.DirectorRootPath(tenant, 1), nil)
	u.resp.DirectorRoot = string(root.body)
	return u
}

func (u *unit) basic() []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(u.user()+":"+u.pass))}
}

// otherEnd is a key of the same form that differs in its last character.
func otherEnd(key string) string {
	if rest, ok := strings.CutSuffix(key, "0"); ok {
		return rest + "1"
	}
	return key[:len(key)-1] + "0"
}

func TestCustomDeviceOverHTTPS(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	u, other := s.custom("acme", "panel-1"), s.custom("acme", "panel-2")
	for what, header := range map[string][]string{"basic": u.basic(), "bearer": {"Authorization", "Bearer " + u.pass}} {
		r := u.do("GET", wire.PathDirection, nil, header...)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", what, r.status, r.body)
		}
		u.verified(r.body)
	}
	update := s.direct("acme", "1.1.0", u)
	e := event(update, 1, wire.Committed)
	if r := u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{e}}, u.basic()...); r.status != http.StatusOK {
		t.Errorf("reports: %d %s", r.status, r.body)
	}
	for what, header := range map[string][]string{
		"nothing":             {},
		"a wrong key":         {"Authorization", "Bearer " + otherEnd(u.pass)},
		"another's id":        {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(other.user()+":"+u.pass))},
		"an operator's":       {"Authorization", "Bearer " + s.api.Token},
		"broken":              {"Authorization", "Basic !!"},
		"another scheme":      {"Authorization", "Digest " + u.pass},
		"key as the user":     {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(u.pass+":"))},
		"an endless password": {"Authorization", "Bearer fld_" + strings.Repeat("a", 8000)},
	} {
		if r := u.do("GET", wire.PathDirection, nil, header...); r.status != http.StatusUnauthorized || r.code() != wire.CodeUnauthorized {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
	}
	// An access key is no claim, and gets no certificate.
	if r := s.stranger().do("POST", wire.PathEnroll, s.stranger().enrollRequest("", "s9"), u.basic()...); r.status == http.StatusOK {
		t.Error("an access key got a certificate")
	}
	var next api.Custom
	s.ask("POST", "/tenants/acme/customs/"+u.resp.Device+"/key", nil, &next)
	if r := u.do("GET", wire.PathDirection, nil, u.basic()...); r.status != http.StatusUnauthorized {
		t.Errorf("the old key: %d", r.status)
	}
	u.pass = next.Key
	if r := u.do("GET", wire.PathDirection, nil, u.basic()...); r.status != http.StatusOK {
		t.Errorf("the new key: %d", r.status)
	}
	s.ask("DELETE", "/tenants/acme/customs/"+u.resp.Device, nil, &api.Done{})
	if r := u.do("GET", wire.PathDirection, nil, u.basic()...); r.status != http.StatusForbidden || r.code() != wire.CodeRevoked {
		t.Errorf("revoked: %d %s", r.status, r.body)
	}
}

func TestCustomDeviceOverMQTT(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	for _, scheme := range []string{"mqtts", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			u := s.custom("acme", scheme)
			m := u.mqtt(scheme)
			m.next()
			update := s.direct("acme", "1.1.0", u)
			if _, got, _ := m.next(); got != update {
				t.Errorf("update %q, want %q", got, update)
			}
			if code := m.publish(wire.LeafEvent, event(update, 1, wire.Downloading)); code != 0 {
				t.Errorf("an event: %#x", code)
			}
			s.ask("POST", "/tenants/acme/customs/"+u.resp.Device+"/key", nil, &api.Custom{})
			select {
			case reason := <-m.down:
				if reason != 0x87 {
					t.Errorf("ended with %#x", reason)
				}
			case <-time.After(10 * time.Second):
				t.Error("the connection with the old key stays")
			}
		})
	}
}

// A second director on the same database revokes; this one has the connection.
func TestRevokedByAnotherDirector(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.Recheck = 20 * time.Millisecond })
	token := s.tenant("acme", 10)
	overMQTT, overWS, kept, web := s.enrolled(token, "s1"), s.enrolled(token, "s2"), s.enrolled(token, "s3"), s.enrolled(token, "s4")
	m, w, k := overMQTT.mqtt("mqtts"), overWS.mqtt("wss"), kept.mqtt("mqtts")
	m.next()
	w.next()
	k.next()
	keepAlive := &http.Client{Transport: &http.Transport{TLSClientConfig: web.tls()}, Timeout: 20 * time.Second}
	defer keepAlive.CloseIdleConnections()
	ask := func() int {
		resp, err := keepAlive.Get("https://" + s.Addr().String() + wire.PathDirection)
		must(t, err)
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if got := ask(); got != http.StatusOK {
		t.Fatal(got)
	}
	other := s.secondDirector()
	for _, u := range []*unit{overMQTT, overWS, web} {
		must(t, other.Revoke(context.Background(), u.resp.Device))
	}
	for what, c := range map[string]*mqttClient{"MQTT": m, "WebSocket": w} {
		select {
		case reason := <-c.down:
			if reason != 0x87 {
				t.Errorf("%s ended with %#x", what, reason)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s stays connected", what)
		}
	}
	if got := ask(); got != http.StatusForbidden {
		t.Errorf("the next request on an open connection: %d", got)
	}
	select {
	case reason := <-k.down:
		t.Errorf("who was not revoked is gone: %#x", reason)
	default:
	}
}

func (s *site) secondDirector() *director.Director {
	s.t.Helper()
	dir := service.StateDir(s.repo)
	db, err := store.Open(context.Background(), filepath.Join(dir, "fairlead.db"), store.Options{Node: "second"})
	must(s.t, err)
	s.t.Cleanup(func() { db.Close() })
	ca, err := pki.Open(filepath.Join(dir, "ca"), time.Now)
	must(s.t, err)
	key, err := service.OpenKeyFile(s.repo, "")
	must(s.t, err)
	d, err := director.New(context.Background(), director.Config{Store: db, CA: ca, Keys: filepath.Join(dir, "keys"), Seal: key,
		SeenFile: filepath.Join(s.t.TempDir(), "seen"), Clock: time.Now, Log: slog.New(slog.DiscardHandler)})
	must(s.t, err)
	return d
}

func TestSwitchedOffDeviceOnThePort(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.Recheck = 20 * time.Millisecond })
	u := s.enrolled(s.tenant("acme", 1), "s1")
	must(t, s.secondDirector().Cloud(context.Background(), "acme", u.resp.Device, true))
	r := u.do("GET", wire.PathDirection, nil)
	if r.status != http.StatusOK || !u.verified(r.body).Offline {
		t.Fatalf("its direction: %d %s", r.status, r.body)
	}
	if r := u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{event("u", 1, wire.Idle)}}); r.status != http.StatusForbidden || r.code() != wire.CodeOffline {
		t.Errorf("events: %d %s", r.status, r.body)
	}
	m := u.mqtt("mqtts")
	m.next() // it may fetch the direction there as well
	select {
	case <-m.down:
	case <-time.After(10 * time.Second):
		t.Error("it stays connected")
	}
}

func TestImportAtTheOperatorPort(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	s.ask("PUT", "/tenants/acme/enroll-policy", api.Policy{Ways: []string{"list"}}, &api.Policy{})
	var out api.Imported
	list := "serial,mac\nA1,02:00:00:00:00:01\nA2,\n"
	must(t, s.api.Upload(context.Background(), "/tenants/acme/expected", "text/csv", strings.NewReader(list), &out))
	if out.Devices != 2 {
		t.Errorf("%+v", out)
	}
	err := s.api.Upload(context.Background(), "/tenants/acme/expected", "text/csv", strings.NewReader("serial,mac\nA3,nonsense\nA3,\n"), &out)
	if err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad list: %v", err)
	}
	huge := io.MultiReader(strings.NewReader("serial\n"), bytes.NewReader(bytes.Repeat([]byte("x"), director.MaxImport)))
	if err := s.api.Upload(context.Background(), "/tenants/acme/expected", "text/csv", huge, &out); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a huge list: %v", err)
	}
	s.enrolled("list:acme", "A2")
	var all api.ExpectedList
	s.ask("GET", "/tenants/acme/expected?limit=1", nil, &all)
	if len(all.Expected) != 1 || all.Next == 0 || all.Expected[0].Serial != "A1" {
		t.Errorf("the first page: %+v", all)
	}
	s.ask("GET", "/tenants/acme/expected?after="+fmt.Sprint(all.Next), nil, &all)
	if len(all.Expected) != 1 || all.Expected[0].Device == "" {
		t.Errorf("the second page: %+v", all)
	}
}

// A login is tried as seldom as an enrolment that fails.
func TestAccessKeysAreTriedSlowly(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.EnrollRate = 1 })
	s.tenant("acme", 1)
	u := s.custom("acme", "p1")
	busy := false
	for range 20 {
		r := u.do("GET", wire.PathDirection, nil, "Authorization", "Bearer "+u.pass[:len(u.pass)-1]+"!")
		if busy = r.status == http.StatusTooManyRequests; busy {
			break
		}
	}
	if !busy {
		t.Error("an access key can be tried without an end")
	}
}

func TestWebSocketWithoutAnythingEndsAtItsConnect(t *testing.T) {
	s := newSite(t)
	u := s.stranger()
	d := websocket.Dialer{TLSClientConfig: u.tls(), Subprotocols: []string{wire.Subprotocol}}
	c, _, err := d.Dial("wss://"+s.Addr().String()+wire.PathMQTT, nil)
	must(t, err)
	defer c.Close()
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	must(t, c.WriteMessage(websocket.BinaryMessage, []byte{0x10, 15, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 2, 'd', '1'}))
	_, b, err := c.ReadMessage()
	if err != nil || len(b) < 4 || b[0] != 0x20 || b[3] != 0x87 {
		t.Errorf("% x %v", b, err)
	}
}
