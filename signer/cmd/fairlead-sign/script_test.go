package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fairlead-sign":   main,
		"repo-init":       func() { exit(repoInit(os.Args[1])) },
		"repo-log":        func() { exit(repoLog(os.Args[1])) },
		"repo-key":        func() { exit(repoKey(os.Args[1], os.Args[2], os.Args[3])) },
		"repo-renew":      func() { exit(repoRenew(os.Args[1])) },
		"repo-publish":    func() { exit(repoPublish(os.Args[1], os.Args[2])) },
		"make-image":      func() { exit(makeImage(os.Args[1], os.Args[2])) },
		"make-provenance": func() { exit(makeProvenance(os.Args[1], os.Args[2], os.Args[3])) },
		"make-direction":  func() { exit(makeDirection(os.Args[1], os.Args[2])) },
	})
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestScripts runs testdata/*.txtar. Beside fairlead-sign they use:
//
//	exits CODE command...      the command must end with this exit code
//	repo-init REPO             an empty repository; prints nothing, leaves its keys' public halves in the work folder
//	repo-log REPO              a log for it; leaves its policy in the work folder, policy.txt
//	repo-key REPO NAME REF     an online key that lies elsewhere; leaves its public half in the work folder
//	repo-renew REPO            signs a new timestamp
//	repo-publish REPO BUNDLE   publishes, as fairlead-repo publish does; with the publish policy in $POLICY, if that is set
//	make-image FILE SEED       an image of 3 MiB and a bit: noise, then text, then zeros
//	make-provenance KEY IMAGE FILE
//	                           provenance of an image, as a build system signs it
//	make-direction KEY FILE    a director's direction, signed with KEY
//	takes REPO PRODUCT/VERSION CHANNEL
//	                           a device's client finds the release in that channel
//	truncate FILE BYTES        cuts FILE off
//	alter FILE OLD NEW         replaces the first OLD in FILE by NEW, which must be there
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// A program built with -race sleeps for a second when it ends.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("FAIRLEAD_ZSTD", "none") // the same on every machine
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"takes":    takes,
			"truncate": truncate,
			"alter":    alter,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

func takes(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	c, err := client.Open(client.Config{
		Root: []byte(ts.ReadFile(filepath.Join(dir, "metadata/1.root.json"))), Source: client.FSSource(os.DirFS(dir)),
	})
	ts.Check(err)
	defer c.Close()
	t, err := c.Target(context.Background(), args[1]+".json")
	ts.Check(err)
	if string(t.Channel) != args[2] {
		ts.Fatalf("a device finds %s in channel %s, want %s", args[1], t.Channel, args[2])
	}
}

func truncate(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

func alter(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	old := ts.ReadFile(path)
	i := strings.Index(old, args[1])
	if i < 0 {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(old[:i]+args[2]+old[i+len(args[1]):]), 0o644))
}

func repoInit(dir string) error {
	r, err := tufrepo.Init(dir, tufrepo.InitOptions{})
	if err != nil {
		return err
	}
	keys, err := r.Keys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		data, err := os.ReadFile(k.Public)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Base(k.Public), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func repoKey(dir, name, ref string) error {
	r, err := tufrepo.Open(dir, tufrepo.Options{})
	if err != nil {
		return err
	}
	key, err := r.AddKey(context.Background(), name, ref)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(key.Public)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Base(key.Public), data, 0o644)
}

func repoRenew(dir string) error {
	r, err := tufrepo.Open(dir, tufrepo.Options{})
	if err != nil {
		return err
	}
	_, err = r.Renew(context.Background())
	return err
}

func repoLog(dir string) error {
	r, err := tufrepo.Open(dir, tufrepo.Options{})
	if err != nil {
		return err
	}
	info, err := r.InitLog("fw.example.com/releases")
	if err != nil {
		return err
	}
	return os.WriteFile("policy.txt", []byte("log "+info.Key+"\nquorum none\n"), 0o644)
}

func repoPublish(dir, bundle string) error {
	r, err := tufrepo.Open(dir, tufrepo.Options{})
	if err != nil {
		return err
	}
	var o tufrepo.PublishOptions
	if policy := os.Getenv("POLICY"); policy != "" {
		if o.Policy, err = attest.LoadPolicy(policy, nil); err != nil {
			return err
		}
	}
	_, err = r.Publish(context.Background(), bundle, o)
	return err
}

func makeProvenance(key, image, path string) error {
	private, err := keyfile.Load(key, nil)
	if err != nil {
		return err
	}
	s, err := keyfile.NewSigner(private)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	const kind = "application/vnd.in-toto+json"
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"rootfs","digest":{"sha256":"%s"}}],
		"predicateType":"https://slsa.dev/provenance/v1","predicate":{"buildDefinition":{"buildType":"https://ci.example.net/image/v1",
		"externalParameters":{}},"runDetails":{"builder":{"id":"https://ci.example.net/builder"}}}}`, firmware.Sum(raw))
	sig, err := s.SignMessage(strings.NewReader(fmt.Sprintf("DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement)))
	if err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	return os.WriteFile(path, fmt.Appendf(nil, `{"payloadType":"%s","payload":"%s","signatures":[{"keyid":"ci","sig":"%s"}]}`, kind, b64([]byte(statement)), b64(sig)), 0o644)
}

func makeImage(path, seed string) error {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(n, 1))
	image := make([]byte, 3<<20+777)
	for i := range 1 << 16 {
		image[i] = byte(rng.IntN(256))
		image[1<<16+i] = "firmware"[rng.IntN(8)]
	}
	return os.WriteFile(path, image, 0o644)
}

func makeDirection(key, path string) error {
	private, err := keyfile.Load(key, nil)
	if err != nil {
		return err
	}
	s, err := keyfile.NewSigner(private)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	raw, err := direction.Sign(direction.Direction{
		Tenant: "acme", Device: "unit-7", Hardware: "cam-rev-b", Version: 3, Issued: now, Expires: now.Add(time.Hour),
		Update: "5bd0d1f8-7a0e-4d46-9e6c-2f1c3c4d5e6f",
		Target: &direction.Target{Path: "cam/1.1.0.json", Length: 700, SHA256: firmware.Sum([]byte("x")), Counter: 2},
	}, s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}
