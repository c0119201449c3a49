package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// beAgent makes the test binary the program itself.
const beAgent = "FAIRLEAD_TEST_BE_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(beAgent) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"fairlead-agent": main})
}

// TestScripts: each script is a device of its own, with a service beside it. Beside the
// commands of testscript there are
//
//	code N command...                    run it, and expect exit code N
//	release VERSION COUNTER [hardware=H] [bytes=N]   publish a release
//	direct VERSION [KIND]                direct the device, or to "nothing"; KIND is as in directions, or offline
//	folder DIR, pack FILE                write the repository as a folder, as a zip
//	holds FILE VERSION                   a slot holds the image of a version
//	until CONFIG STATE [question|offline]  wait for the agent to run and be in a state, and to ask something, or be switched off
//	expire                               let the repository's metadata expire
//	service-down                         end the service
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			site := agenttest.New(time.Now().Add(48 * time.Hour))
			env.Defer(site.Close)
			env.Values["site"] = site
			return setup(env.WorkDir, site)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "release": release, "direct": direct, "folder": folder, "pack": pack, "expire": expire,
			"holds": holds, "until": until,
			"service-down": func(ts *testscript.TestScript, _ bool, _ []string) { siteOf(ts).Close() },
		},
	})
}

func siteOf(ts *testscript.TestScript) *agenttest.Site { return ts.Value("site").(*agenttest.Site) }

// setup writes the files of a device that is delivered with 1.0.0.
func setup(dir string, site *agenttest.Site) error {
	site.WriteCA(filepath.Join(dir, "ca.pem"))
	site.WriteRoot(filepath.Join(dir, "root.json"))
	config, err := json.MarshalIndent(map[string]any{
		"service": site.Server.URL, "ca": "ca.pem", "root": "root.json", "state": "state", "proxy": "none", "transports": []string{},
		"product": agenttest.Product, "hardware": agenttest.Hardware, "serial": "sn-1",
		"factory": map[string]any{"version": "1.0.0", "counter": 1},
		"slots":   map[string]string{"a": "slot-a", "b": "slot-b"}, "slot_size": 1 << 20,
		"bootloader": map[string]string{"type": "file", "dir": "boot"},
		"health":     map[string]string{"hooks": "health.d", "deadline": "10s"},
	}, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "agent.json"), config, 0o600),
		os.WriteFile(filepath.Join(dir, "claim"), []byte(agenttest.Claim), 0o600),
		os.WriteFile(filepath.Join(dir, "slot-a"), make([]byte, 1<<20), 0o600))
}

func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func release(ts *testscript.TestScript, _ bool, args []string) {
	counter, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	size := 100_000
	var hardware string
	for _, a := range args[2:] {
		if _, err := fmt.Sscanf(a, "hardware=%s", &hardware); err == nil {
			continue
		}
		_, err := fmt.Sscanf(a, "bytes=%d", &size)
		ts.Check(err)
	}
	image := make([]byte, size)
	copy(image, args[0])
	siteOf(ts).Release(args[0], counter, agenttest.Encode(image), func(m *firmware.Manifest) {
		if hardware != "" {
			m.Hardware = []string{hardware}
		}
		m.Notes = "Release " + args[0] + ".\nTwo lines of notes."
	})
}

func direct(ts *testscript.TestScript, _ bool, args []string) {
	version := args[0]
	if version == "nothing" {
		version = ""
	}
	terms := func(d *direction.Direction) {
		switch {
		case len(args) < 2:
		case args[1] == "offline":
			d.Offline, d.Update = true, uuid.NewString()
		default:
			d.Kind = direction.Kind(args[1])
		}
		if d.Kind == direction.Soft || d.Kind == direction.Ask {
			d.DeferUntil = time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
		}
	}
	for _, id := range siteOf(ts).Devices() {
		siteOf(ts).Direct(id, version, terms)
	}
}

func folder(ts *testscript.TestScript, _ bool, args []string) {
	siteOf(ts).WriteFolder(ts.MkAbs(args[0]))
}

func pack(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "pack-")
	ts.Check(err)
	defer os.RemoveAll(dir)
	siteOf(ts).WriteFolder(dir)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	z := zip.NewWriter(f)
	ts.Check(fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Store})
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}))
	ts.Check(z.Close())
}

func expire(ts *testscript.TestScript, _ bool, _ []string) {
	site := siteOf(ts)
	site.Repo.Timestamp.Signed.Expires = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	site.Repo.Publish("timestamp")
}

func holds(ts *testscript.TestScript, _ bool, args []string) {
	if got := ts.ReadFile(args[0]); !strings.HasPrefix(got, args[1]+"\x00") {
		ts.Fatalf("%s holds %.20q", args[0], got)
	}
}

func until(ts *testscript.TestScript, _ bool, args []string) {
	cfg, err := agent.LoadConfig(ts.MkAbs(args[0]))
	ts.Check(err)
	a, err := agent.New(cfg, agent.Options{})
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s, err := a.Status()
		ts.Check(err)
		asked, off := s.Question != nil && s.Question.Pending, s.Offline
		if s.Running && string(s.State) == args[1] && (len(args) < 3 || map[string]bool{"question": asked, "offline": off}[args[2]]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still %+v", s)
		}
	}
}
