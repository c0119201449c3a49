package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/director/access"
	"github.com/fairlead/fairlead/tufrepo/director/directortest"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/service"
)

// TestServiceScripts runs testdata/service/*.txtar. Each has a repository with releases
// base-unit/1.0.0 and base-unit/1.1.0 in $REPO, which a service serves, unless the script's
// name begins with "serve". Beside fairlead-repo they use:
//
//	exits CODE command...           the command must end with this exit code
//	director-root PUB DIR           a bundle with a director root that names the key
//	enroll VAR SERIAL CLAIM-FILE    enrols a device with a new key and puts its id into $VAR;
//	                                with ! before it, it must be refused
//	report ID STATE [REASON]        that device says of its direction's update that it is in STATE
//	watched TEXT                    waits until rollout show has TEXT
//	await FILE                      waits until the file is there
//	id-of FILE VAR                  puts the id of the token in the file into $VAR
//	token-env FILE                  puts the token of the file into $FAIRLEAD_TOKEN
//	sql FILE STATEMENT              changes a database behind everybody's back
func TestServiceScripts(t *testing.T) {
	template := makeRepo(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/service",
		Setup: func(e *testscript.Env) error {
			repo := filepath.Join(e.WorkDir, "repo")
			e.Setenv("REPO", repo)
			e.Setenv("FAIRLEAD_REPO", repo)
			e.Values[testerKey{}] = e.T()
			e.Values[identitiesKey{}] = map[string]tls.Certificate{}
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second
			if err := copyRepo(repo, template); err != nil {
				return err
			}
			if script, _ := filepath.Glob(filepath.Join(e.WorkDir, "serve.mark")); script != nil {
				return nil
			}
			return serveInProcess(e, repo)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "director-root": directorRoot, "enroll": enroll, "report": report, "watched": watched, "await": await,
			"id-of": idOf, "token-env": tokenEnv, "sql": runSQL,
		},
	})
}

// testerKey is where a script keeps its test.
type testerKey struct{}

func makeRepo(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	repo, err := tufrepo.Init(dir, tufrepo.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	online := func(name string) crypto.Signer {
		key, err := keyfile.Load(filepath.Join(dir, "state/keys", name+".key"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	people, b := repotest.NewPeople(t, online("timestamp"), online("snapshot")), t.TempDir()
	people.Genesis(t, b, time.Now(), repotest.Product)
	role := people.Release(t, b, time.Now(), nil, repotest.Product, "1.0.0", 1, repotest.Image("one", 10_000))
	if _, err := repo.Publish(context.Background(), b, tufrepo.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	b = t.TempDir()
	people.Release(t, b, time.Now(), role, repotest.Product, "1.1.0", 2, repotest.Image("two", 10_000))
	if _, err := repo.Publish(context.Background(), b, tufrepo.PublishOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyRepo(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	keys, err := filepath.Glob(filepath.Join(to, "state/keys/*.key"))
	for _, key := range keys {
		err = os.Chmod(key, 0o600)
	}
	return err
}

// serveInProcess serves until the script has ended.
func serveInProcess(e *testscript.Env, repo string) error {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	r, err := tufrepo.Open(repo, tufrepo.Options{Log: log})
	if err != nil {
		return err
	}
	s, err := service.New(context.Background(), service.Config{Repo: r, Listen: "127.0.0.1:0", Operator: "127.0.0.1:0",
		Clock: time.Now, Log: log, Limits: service.Limits{Drain: time.Millisecond}})
	if err != nil {
		return err
	}
	e.Setenv("DEVICES", "https://"+s.Addr().String())
	e.Setenv("OPERATORS", "http://"+s.OperatorAddr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	e.Defer(func() {
		cancel()
		if err := <-ended; err != nil {
			e.T().Fatal(err)
		}
	})
	return nil
}

func directorRoot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: director-root PUB DIR")
	}
	pub, err := keyfile.LoadPublic(ts.MkAbs(args[0]))
	ts.Check(err)
	key, err := keyfile.TUFKey(pub)
	ts.Check(err)
	root := directortest.New(ts.Value(testerKey{}).(testing.TB), time.Now).Root(1, key)
	ts.Check(os.MkdirAll(filepath.Join(ts.MkAbs(args[1]), "metadata"), 0o755))
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[1]), "metadata", "1.root.json"), root, 0o644))
}

func enroll(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] enroll VAR SERIAL CLAIM-FILE")
	}
	ca, err := os.ReadFile(filepath.Join(service.StateDir(ts.Getenv("REPO")), "ca", "server-ca.crt"))
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	key, err := keyfile.Generate(keyfile.ECDSAP256)
	ts.Check(err)
	claim := ts.ReadFile(args[2])
	resp, err := link.Enroll(context.Background(), link.Network{Service: ts.Getenv("DEVICES"), Roots: roots, Proxy: "none"}, key,
		wire.EnrollRequest{Claim: claim[:len(claim)-1], Product: repotest.Product, Hardware: repotest.Hardware, Serial: args[1]})
	if neg {
		if err == nil {
			ts.Fatalf("%s may enrol", args[1])
		}
		return
	}
	ts.Check(err)
	block, _ := pem.Decode([]byte(resp.Certificate))
	if block == nil {
		ts.Fatalf("no certificate")
	}
	identities(ts)[resp.Device] = tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
	ts.Setenv(args[0], resp.Device)
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not appear", args[0])
}

func idOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: id-of FILE VAR")
	}
	t, err := access.ParseToken(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Setenv(args[1], t.ID())
}

func tokenEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: token-env FILE")
	}
	ts.Setenv("FAIRLEAD_TOKEN", strings.TrimSpace(ts.ReadFile(args[0])))
}

func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Exec("PRAGMA busy_timeout = 5000; " + args[1])
	ts.Check(err)
	ts.Check(db.Close())
}

func TestEveryServiceCommandHasAnExampleAndJSON(t *testing.T) {
	checkCommands(t, "fairlead-repo", serviceCommands())
}

func checkCommands(t *testing.T, above string, commands []*cli.Command) {
	for _, c := range commands {
		name := above + " " + c.Name
		if len(c.Subcommands) > 0 {
			checkCommands(t, name, c.Subcommands)
			continue
		}
		if !slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), "json") }) {
			t.Errorf("%s has no --json", name)
		}
		if c.Usage == "" {
			t.Errorf("%s says nothing of itself", name)
		}
	}
}
