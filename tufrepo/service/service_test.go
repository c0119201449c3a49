package service_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func TestMain(m *testing.M) {
	if order := os.Getenv("FAIRLEAD_TEST_SERVE"); order != "" {
		serveUntilKilled(order)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if template.dir != "" {
			os.RemoveAll(filepath.Dir(template.dir))
		}
		os.Exit(code)
	}))
}

func TestHTTPS(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")

	first := u.do("GET", wire.PathDirection, nil)
	if first.status != 200 || u.verified(first.body).Version != 1 {
		t.Fatalf("first direction: %d %s", first.status, first.body)
	}
	etag := first.header.Get("ETag")
	if r := u.do("GET", wire.PathDirection, nil, "If-None-Match", etag); r.status != 304 || len(r.body) != 0 {
		t.Errorf("nothing new: %d, %d bytes", r.status, len(r.body))
	}
	update := s.direct("acme", "1.1.0", u)
	r := u.do("GET", wire.PathDirection, nil, "If-None-Match", etag)
	if r.status != 200 || u.verified(r.body).Update != update || r.header.Get("ETag") == etag {
		t.Errorf("something new: %d %s", r.status, r.body)
	}

	reports := wire.Reports{Events: []wire.Event{event(update, 1, wire.Downloading), event(update, 2, wire.Failed)},
		Reported: &wire.Reported{Schema: 1, Time: time.Now().UTC(), State: wire.Idle, Version: "1.0.0"}}
	for range 2 {
		r := u.do("POST", wire.PathReports, reports)
		if ack, err := wire.DecodeReportsAck(r.body); err != nil || ack.Seq != 2 || r.status != 200 {
			t.Errorf("reports: %d %s", r.status, r.body)
		}
	}
	var all api.Updates
	s.ask("GET", "/updates?latest=1", nil, &all)
	if len(all.Updates) != 1 || all.Updates[0].State != "failed" {
		t.Errorf("updates: %+v", all.Updates)
	}
	for _, path := range []string{"/metadata/timestamp.json", "/metadata/1.root.json", wire.DirectorRootPath("acme", 1)} {
		if r := s.stranger().do("GET", path, nil); r.status != 200 || r.header.Get("ETag") == "" {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	for _, path := range []string{wire.DirectorRootPath("acme", 2), wire.DirectorRootPath("acme", 0), wire.DirectorRootPath("nobody", 1),
		"/director/acme/01.root.json", "/director/acme/root.json", "/state/service/operator.token", "/metadata/../state/service/operator.token", "/", "/v1"} {
		if r := u.do("GET", path, nil); r.status != 404 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

func TestPoisonRequests(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	for _, c := range []struct {
		what, path string
		body       []byte
		status     int
	}{
		{"not json", wire.PathReports, []byte("\x00"), 400},
		{"empty", wire.PathReports, nil, 400},
		{"huge", wire.PathReports, bytes.Repeat([]byte("x"), 1<<20), 413},
		{"deep", wire.PathReports, bytes.Repeat([]byte("["), 60_000), 400},
		{"doubled", wire.PathReports, []byte(`{"events":[],"events":[]}`), 400},
		{"null events", wire.PathReports, []byte(`{"events":null}`), 400},
		{"not json", wire.PathEnroll, []byte("{"), 400},
		{"huge", wire.PathEnroll, bytes.Repeat([]byte("x"), 1<<20), 413},
		{"bad csr", wire.PathEnroll, []byte(`{"csr":"x","product":"p","hardware":"h"}`), 400},
	} {
		r := u.do("POST", c.path, c.body)
		if r.status != c.status || r.code() == "" {
			t.Errorf("%s to %s: %d %s, want %d", c.what, c.path, r.status, r.body, c.status)
		}
	}
	if r := u.do("GET", wire.PathDirection, nil, "X-Long", strings.Repeat("x", 64<<10)); r.status != 431 {
		t.Errorf("huge header: %d %v", r.status, r.err)
	}
}

func TestEnrolmentsAreLimited(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.EnrollRate = 0.01 })
	s.tenant("acme", 1)
	u := s.stranger()
	req := u.enrollRequest("000000000000.guess", "s1")
	var got []int
	for range 3 {
		r := u.do("POST", wire.PathEnroll, req)
		got = append(got, r.status)
		if r.status == 429 && r.header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if !slices.Equal(got, []int{403, 429, 429}) {
		t.Errorf("guessing tokens: %v", got)
	}
}

// TestFullDatabase: nothing is acknowledged that is not stored, and what devices read is
// still there.
func TestFullDatabase(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.Database = 500 << 10 })
	u := s.enrolled(s.tenant("acme", 1), "s1")
	m := u.mqtt("mqtts")
	m.next()
	var stored int64
	for {
		var reports wire.Reports
		for i := range int64(10) {
			e := event("u", stored+i+1, wire.Downloading)
			e.Detail = strings.Repeat("x", 500)
			reports.Events = append(reports.Events, e)
		}
		r := u.do("POST", wire.PathReports, reports)
		if r.status == 200 {
			stored += 10
			continue
		}
		if r.status != 503 || r.code() != wire.CodeUnavailable || r.header.Get("Retry-After") == "" {
			t.Errorf("full: %d %s", r.status, r.body)
		}
		break
	}
	for code := byte(0); code == 0; { // one alone may still have fitted
		e := event("u", stored+1, wire.Downloading)
		e.Detail = strings.Repeat("x", 500)
		if code = m.publish(wire.LeafEvent, e); code == 0 {
			stored++
		} else if code != 0x97 {
			t.Errorf("full, over MQTT: %#x, want quota exceeded", code)
		}
	}
	if r := u.do("GET", wire.PathDirection, nil); r.status != 200 {
		t.Errorf("a direction is not to be had: %d", r.status)
	}
	if n := s.events(u); int64(n) != stored {
		t.Errorf("%d events are stored, %d were acknowledged", n, stored)
	}
}

// events counts a device's events after the service has ended.
func (s *site) events(u *unit) int {
	s.t.Helper()
	must(s.t, s.stop())
	db, err := store.Open(context.Background(), filepath.Join(service.StateDir(s.repo), "fairlead.db"), store.Options{})
	must(s.t, err)
	defer db.Close()
	var n int
	must(s.t, db.View(context.Background(), func(tx *store.Tx) error {
		all, err := tx.Events(u.resp.Device, 1<<20)
		n = len(all)
		return err
	}))
	return n
}

// TestKilledBetweenStoreAndAck kills the process at any moment while devices send events and
// sends again what was not acknowledged: none is lost, none is doubled.
func TestKilledBetweenStoreAndAck(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	listen := s.Addr().String()
	must(t, s.stop())
	acked := map[int64]bool{}
	const events = 60
	for round := 0; len(acked) < events && round < 20; round++ {
		p := s.process(serveOrder{Listen: listen})
		killAt := 7 + 3*round // acknowledgements of this round
		for seq := int64(1); seq <= events && killAt > 0; seq++ {
			if acked[seq] {
				continue
			}
			if killAt == 1 {
				go p.Process.Kill() // while the next one is on its way
			}
			if r := u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{event("u", seq, wire.Downloading)}}); r.status == 200 {
				acked[seq] = true
			}
			killAt--
		}
		p.kill()
	}
	if n := s.events(u); n != events || len(acked) != events {
		t.Errorf("%d events are stored, %d were acknowledged, want %d of both", n, len(acked), events)
	}
}

func TestOneServicePerRepository(t *testing.T) {
	s := newSite(t)
	if _, err := service.New(context.Background(), s.config()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a second service: %v", err)
	}
	must(t, s.stop())
	s.start()
}

func TestRestartKeepsIdentities(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	update := s.direct("acme", "1.1.0", u)
	must(t, s.stop())
	s.start()
	if r := u.do("GET", wire.PathDirection, nil); r.status != 200 || u.verified(r.body).Update != update || u.verified(r.body).Version != 2 {
		t.Errorf("after a restart: %d %s", r.status, r.body)
	}
}

func TestRenewedCertificate(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	r := u.do("POST", wire.PathEnroll, u.enrollRequest("", "s1"))
	again, err := wire.DecodeEnrollResponse(r.body)
	if err != nil || again.Device != u.resp.Device || again.Certificate == u.resp.Certificate {
		t.Fatalf("renewal: %d %s", r.status, r.body)
	}
	u.setCert(again.Certificate)
	if r := u.do("GET", wire.PathDirection, nil); r.status != 200 {
		t.Errorf("with the new certificate: %d", r.status)
	}
}

func TestConnectionLimits(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.Connections = 3 })
	var held []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", s.Addr().String())
		must(t, err)
		defer c.Close()
		held = append(held, c)
	}
	// Accepting goes on in order: once the fourth is closed, the first three are counted.
	fourth, err := net.Dial("tcp", s.Addr().String())
	must(t, err)
	defer fourth.Close()
	must(t, fourth.SetDeadline(time.Now().Add(10*time.Second)))
	if _, err := fourth.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("one too many: %v, want it closed", err)
	}
	held[0].Close()
	until(t, "a place is free", func() bool { return s.stranger().do("GET", "/metadata/timestamp.json", nil).status == 200 })
}

// TestSilentConnections: before TLS, after it, and after half a request.
func TestSilentConnections(t *testing.T) {
	s := newSite(t, func(c *service.Config) { c.Limits.Handshake = 200 * time.Millisecond })
	u := s.enrolled(s.tenant("acme", 1), "s1")
	plain := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		must(t, err)
		return c
	}
	secure := func(protocols ...string) func() net.Conn {
		return func() net.Conn {
			c, err := tls.Dial("tcp", s.Addr().String(), u.tls(protocols...))
			must(t, err)
			return c
		}
	}
	for what, c := range map[string]struct {
		dial func() net.Conn
		says string
	}{
		"nothing at all":     {plain, ""},
		"half a handshake":   {plain, "\x16\x03\x01\x02\x00\x01"},
		"TLS, then nothing":  {secure(), ""},
		"half a request":     {secure(), "GET / HTTP/1.1\r\nHost: x\r\n"},
		"MQTT, then nothing": {secure(wire.ALPN), ""},
		"half a CONNECT":     {secure(wire.ALPN), "\x10\x20\x00\x04MQ"},
	} {
		conn := c.dial()
		defer conn.Close()
		conn.Write([]byte(c.says))
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
			t.Errorf("%s: the connection stays open", what)
		}
	}
}

// until asks again until f says yes.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) { // others use the computer, too
		if time.Now().After(end) {
			t.Fatal(what + ": not within a minute")
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := newSite(t)
	c := s.stranger().tls()
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", s.Addr().String(), c); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	c.MaxVersion = tls.VersionTLS12
	conn, err := tls.Dial("tcp", s.Addr().String(), c)
	must(t, err)
	conn.Close()
}

func TestHealthAndMetrics(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	m := u.mqtt("mqtts")
	m.next()
	m.publish(wire.LeafEvent, event("u", 1, wire.Downloading))
	get := func(path string) string {
		resp, err := http.Get("http://" + s.OperatorAddr().String() + path)
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", path, resp.Status, b)
		}
		return string(b)
	}
	if h := get("/healthz"); !strings.Contains(h, `"status":"ok"`) {
		t.Errorf("health: %s", h)
	}
	text := get("/metrics")
	for _, want := range []string{"fairlead_mqtt_devices 1", "fairlead_directions_total 1", "fairlead_enrolments_total 1", "fairlead_events_total 1",
		`fairlead_ingest_seconds_count{result="stored",via="mqtt"} 1`, `fairlead_http_requests_total{code="200",route="POST /v1/enroll"} 1`,
		"fairlead_connections 1", "fairlead_timestamp_age_seconds ", "fairlead_timestamp_left_seconds ", "fairlead_mqtt_delivered_total 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestOrdersAreResolvedInTheRepository: the director believes the repository, not the operator.
func TestOrdersAreResolvedInTheRepository(t *testing.T) {
	s := newSite(t)
	u := s.enrolled(s.tenant("acme", 1), "s1")
	for _, version := range []string{"9.9.9", "../../x", ""} {
		err := s.api.Do(context.Background(), "POST", "/directions", api.Order{Tenant: "acme", Product: repotest.Product, Version: version, All: true}, &api.Outcomes{})
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Code != wire.CodeNotFound {
			t.Errorf("release %q: %v", version, err)
		}
	}
	s.direct("acme", "1.0.0", u)
	d := u.verified(u.do("GET", wire.PathDirection, nil).body)
	name := fmt.Sprintf("%s/targets/%s/%s.1.0.0.json", s.repo, repotest.Product, d.Target.SHA256)
	st, err := os.Stat(name)
	if err != nil || st.Size() != d.Target.Length || d.Target.Counter != 1 {
		t.Errorf("directed %+v; %v", d.Target, err)
	}
	// A repository that was tampered with directs nothing.
	must(t, os.WriteFile(name, []byte("{}"), 0o644))
	err = s.api.Do(context.Background(), "POST", "/directions", api.Order{Tenant: "acme", Product: repotest.Product, Version: "1.0.0", All: true}, &api.Outcomes{})
	if err == nil {
		t.Error("a release whose manifest was altered is directed")
	}
}

// TestWhoMayDoWhat goes through the table of routes: a route without a row here fails.
func TestWhoMayDoWhat(t *testing.T) {
	s := newSite(t)
	token := s.tenant("acme", 10)
	own, revoked := s.enrolled(token, "s1"), s.enrolled(token, "s2")
	s.ask("POST", "/devices/"+revoked.resp.Device+"/revoke", nil, &api.Device{})
	callers := map[string]*unit{"nobody": s.stranger(), "device": own, "revoked": revoked}

	type row struct {
		method, path string
		body         any
		want         map[string]int
	}
	public := map[string]int{"nobody": 200, "device": 200, "revoked": 200}
	device := map[string]int{"nobody": 401, "device": 200, "revoked": 403}
	rows := map[string]row{
		"/metadata/":                    {"GET", "/metadata/timestamp.json", nil, public},
		"/targets/":                     {"GET", "/targets/x/" + strings.Repeat("0", 64) + ".1.json", nil, map[string]int{"nobody": 404, "device": 404, "revoked": 404}},
		"/blobs/":                       {"GET", "/blobs/" + strings.Repeat("0", 64), nil, map[string]int{"nobody": 404, "device": 404, "revoked": 404}},
		"/log/":                         {"GET", "/log/checkpoint", nil, map[string]int{"nobody": 404, "device": 404, "revoked": 404}},
		"GET /director/{tenant}/{file}": {"GET", wire.DirectorRootPath("acme", 1), nil, public},
		"POST /v1/enroll":               {"POST", wire.PathEnroll, s.stranger().enrollRequest("000000000000.x", "s9"), map[string]int{"nobody": 403, "device": 403, "revoked": 403}},
		"GET /v1/direction":             {"GET", wire.PathDirection, nil, device},
		"POST /v1/reports":              {"POST", wire.PathReports, wire.Reports{}, device},
		"GET /mqtt":                     {"GET", wire.PathMQTT, nil, map[string]int{"nobody": 401, "device": 400, "revoked": 403}},
	}
	for _, pattern := range s.DeviceRoutes() {
		r, ok := rows[pattern]
		if !ok {
			t.Errorf("route %s has no row in this table", pattern)
			continue
		}
		for who, u := range callers {
			if got := u.do(r.method, r.path, r.body); got.status != r.want[who] {
				t.Errorf("%s by %s: %d %s, want %d", pattern, who, got.status, got.body, r.want[who])
			}
		}
		if got := own.do("DELETE", r.path, nil); got.status != 405 && got.status != 404 {
			t.Errorf("DELETE %s: %d", r.path, got.status)
		}
	}
	other := newSite(t)
	foreign := other.enrolled(other.tenant("acme", 1), "s1")
	foreign.s = s
	if r := foreign.do("GET", "/metadata/timestamp.json", nil); r.err == nil {
		t.Errorf("a certificate of another service is accepted: %d", r.status)
	}
}

func TestOperatorsNeedTheToken(t *testing.T) {
	s := newSite(t)
	s.tenant("acme", 1)
	for _, pattern := range append(s.OperatorRoutes(), "GET /api/v1/other") {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{name}", "acme", "{id}", "x").Replace(path)
		for _, auth := range []string{"", "Bearer ", "Bearer x", "Basic " + s.api.Token, s.api.Token, "bearer " + s.api.Token} {
			req, err := http.NewRequest(method, "http://"+s.OperatorAddr().String()+path, strings.NewReader("{}"))
			must(t, err)
			req.Header.Set("Authorization", auth)
			resp, err := http.DefaultClient.Do(req)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != 401 {
				t.Errorf("%s with %q: %d", pattern, auth, resp.StatusCode)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for path, method := range map[string]string{"/tenants": "POST", "/claim-tokens": "POST", "/directions": "POST", "/tenants/a.b/key": "POST", "/devices/x": "GET"} {
		err := s.api.Do(context.Background(), method, path, map[string]string{"surprise": "1"}, nil)
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Status/100 != 4 {
			t.Errorf("%s %s with nonsense: %v", method, path, err)
		}
	}
	st, err := os.Stat(filepath.Join(service.StateDir(s.repo), service.TokenFile))
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("the token's file has mode %v", st.Mode())
	}
}

// TestTenantsAreApart: what is asked for one tenant shows nothing of the other.
func TestTenantsAreApart(t *testing.T) {
	s := newSite(t)
	a, b := s.enrolled(s.tenant("acme", 1), "s1"), s.enrolled(s.tenant("globex", 1), "s1")
	s.direct("acme", "1.1.0", a)
	var devices api.Devices
	s.ask("GET", "/devices?tenant=acme", nil, &devices)
	if len(devices.Devices) != 1 || devices.Devices[0].ID != a.resp.Device {
		t.Errorf("devices of acme: %+v", devices)
	}
	var out api.Outcomes
	s.ask("POST", "/directions", api.Order{Tenant: "acme", Product: repotest.Product, Version: "1.1.0", Devices: []string{b.resp.Device}, Force: true}, &out)
	if out.Outcomes[0].Refused != "not_found" {
		t.Errorf("directing another tenant's device: %+v", out)
	}
	if d := b.verified(b.do("GET", wire.PathDirection, nil).body); d.Target != nil {
		t.Errorf("another tenant's device is directed: %+v", d)
	}
	if string(a.resp.DirectorRoot) == string(b.resp.DirectorRoot) {
		t.Error("two tenants share a director root")
	}
}

// TestPublishBesideTheService: publishing goes on beside the service, and is seen at once.
func TestPublishBesideTheService(t *testing.T) {
	s := newSite(t)
	before := s.stranger().do("GET", "/metadata/timestamp.json", nil)
	repo, err := tufrepo.Open(s.repo, tufrepo.Options{})
	must(t, err)
	_, err = repo.Renew(context.Background())
	must(t, err)
	after := s.stranger().do("GET", "/metadata/timestamp.json", nil)
	if slices.Equal(before.body, after.body) {
		t.Error("the service serves the old timestamp")
	}
}
