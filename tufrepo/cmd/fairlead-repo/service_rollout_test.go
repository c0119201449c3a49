package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// identitiesKey is where a script keeps the certificates of its devices.
type identitiesKey struct{}

func identities(ts *testscript.TestScript) map[string]tls.Certificate {
	return ts.Value(identitiesKey{}).(map[string]tls.Certificate)
}

// report fetches a device's direction, and says of its update how it stands.
func report(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: report ID STATE [REASON]")
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(service.StateDir(ts.Getenv("REPO")), "ca", "server-ca.crt"))
	ts.Check(err)
	roots.AppendCertsFromPEM(ca)
	cert, ok := identities(ts)[args[0]]
	if !ok {
		ts.Fatalf("device %s has not enrolled", args[0])
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	resp, err := client.Get(ts.Getenv("DEVICES") + wire.PathDirection)
	ts.Check(err)
	raw, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	ts.Check(err)
	d, err := direction.Unverified(raw)
	ts.Check(err)
	if d.Update == "" {
		ts.Fatalf("device %s is directed to nothing: %s", args[0], raw)
	}
	e := wire.Event{Schema: 1, Epoch: "script", Seq: time.Now().UnixNano(), Time: time.Now().UTC(), Update: d.Update, State: wire.State(args[1]),
		Product: repotest.Product, From: "1.0.0", To: "1.1.0", Detail: "as the script says"}
	if len(args) == 3 {
		e.Reason = args[2]
	}
	body, err := wire.Encode(wire.Reports{Events: []wire.Event{e}})
	ts.Check(err)
	resp, err = client.Post(ts.Getenv("DEVICES")+wire.PathReports, "application/json", bytes.NewReader(body))
	ts.Check(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("report: %s", resp.Status)
	}
}

// watched waits until fairlead-repo rollout show of the newest rollout has a text.
func watched(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: watched TEXT")
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var out, errs bytes.Buffer
		line := []string{"fairlead-repo", "rollout", "show", "3f1c", "--repo", ts.Getenv("REPO"), "--tenant", "acme"}
		if code := run(context.Background(), line, &out, &errs); code != 0 {
			ts.Fatalf("%s", errs.String())
		}
		if strings.Contains(out.String(), args[0]) {
			return
		}
	}
	ts.Fatalf("rollout show never says %s", args[0])
}

// The example is a plan that can be used as it stands.
func TestExamplePlan(t *testing.T) {
	if _, err := rollout.Parse([]byte(examplePlan())); err != nil {
		t.Error(err)
	}
}

// TestDocumentedRollouts: what docs/operations.md shows of rollouts, testdata/service/rollout.txtar
// runs.
func TestDocumentedRollouts(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/service/rollout.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Rollouts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := 0
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "fairlead-repo ") {
			continue
		}
		shown++
		if !strings.Contains(string(script), line+"\n") {
			t.Errorf("no script runs %q", line)
		}
	}
	if shown < 10 {
		t.Errorf("only %d commands are shown: where is the section?", shown)
	}
}

// TestPicture: on a terminal the picture is drawn over the one before, and not for nothing.
func TestPicture(t *testing.T) {
	var out bytes.Buffer
	v := view{w: &out, terminal: true}
	r := api.Rollout{Product: "base", Version: "1.1.0", Run: "running", Phase: "all", Phases: []api.RolloutPhase{
		{Name: "canary", Size: 1, Good: 1, States: map[string]int{"committed": 1}},
		{Name: "all", Size: 10, Good: 5, States: map[string]int{"committed": 5, "failed": 1, "updating": 1, "waiting": 3}}}}
	for range 2 {
		if err := v.show(r); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"  canary  " + strings.Repeat("#", 30) + "  1/1", "> all     ###############xxx===---------  5/10  committed 5, failed 1, updating 1, waiting 3"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q does not have %q once", out.String(), want)
		}
	}
	r.Phases[1].Good = 6
	if err := v.show(r); err != nil || !strings.Contains(out.String(), "\x1b[3A\x1b[J") {
		t.Errorf("the second picture is not drawn over the first: %q, %v", out.String(), err)
	}
}
