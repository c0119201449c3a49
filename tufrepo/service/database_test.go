package service_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/director/store/storetest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// plain asks the operator port for a page that needs no token.
func (s *site) plain(path string) (int, string) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.OperatorAddr().String() + path)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return resp.StatusCode, string(text)
}

// TestDatabaseServerGoes away under a running service, and comes back: nothing has to be
// restarted, and nothing that was acknowledged is lost.
func TestDatabaseServerGoes(t *testing.T) {
	var postgres storetest.Server
	t.Cleanup(postgres.Stop)
	s := newSite(t, func(c *service.Config) { c.Database = postgres.Database(t) })
	u := s.enrolled(s.tenant("acme", 1), "s1")
	update := s.direct("acme", "1.1.0", u)
	report := func(seq int64) response {
		return u.do("POST", wire.PathReports, wire.Reports{Events: []wire.Event{event(update, seq, wire.Downloading)}})
	}
	if r := report(1); r.status != 200 {
		t.Fatalf("with a database: %d %s", r.status, r.body)
	}
	if err := s.api.Do(context.Background(), "POST", "/backup", nil, &api.Device{}); err == nil || !strings.Contains(err.Error(), "pg_dump --format=custom") {
		t.Errorf("a backup: %v, want what to run in its place", err)
	}
	postgres.Kill(t)
	if r := report(2); r.status != 503 || r.code() != wire.CodeUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("a report without a database: %d %s", r.status, r.body)
	}
	err := s.api.Do(context.Background(), "GET", "/devices", nil, &api.Devices{})
	if err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("an operator hears %v, and not what to do", err)
	}
	if code, text := s.plain("/healthz"); code != 503 || !strings.Contains(text, "is it running") {
		t.Errorf("healthz: %d %s", code, text)
	}
	postgres.Restart(t)
	until(t, "the service has noticed", func() bool { return report(2).status == 200 })
	until(t, "it is healthy", func() bool { code, _ := s.plain("/healthz"); return code == 200 })
	var all api.Updates
	s.ask("GET", "/updates?device="+u.resp.Device, nil, &all)
	if len(all.Updates) != 1 || all.Updates[0].State != string(wire.Downloading) {
		t.Errorf("updates %+v", all)
	}
}
