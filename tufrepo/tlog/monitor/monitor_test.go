package monitor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
	"github.com/fairlead/fairlead/tufrepo/tlog/monitor"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
)

// world is a log that a monitor follows.
type world struct {
	*tlogtest.World
	t      *testing.T
	log    *logdir.Log
	dir    string
	config monitor.Config
}

func newWorld(t *testing.T) *world {
	w := &world{World: tlogtest.New(t, "fw.example.com/releases", 1), t: t, dir: t.TempDir()}
	w.log = w.Open(t, w.dir)
	w.config = monitor.Config{Policy: tlogtest.Parse(t, w.Policy(1)), Log: logread.Folder(os.DirFS(w.dir)), Dir: t.TempDir()}
	return w
}

func manifest(t *testing.T, version string, counter int64) []byte {
	t.Helper()
	blob := func(s string) firmware.Blob {
		return firmware.Blob{Length: int64(len(s)), SHA256: firmware.Sum([]byte(s))}
	}
	head, artifact := strings.Repeat("h", 32), strings.Repeat("a", 64)
	m := firmware.Manifest{
		Schema: 1, Product: "cam", Hardware: []string{"c1"}, Version: version, Counter: counter,
		Image: blob("image"), Artifact: firmware.Framed{Blob: blob(artifact), Head: blob(head)},
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func entry(t *testing.T, manifest []byte) []byte {
	t.Helper()
	leaf, err := tlog.LeafOfManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	b, err := leaf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) add(l *logdir.Log, versions ...string) {
	w.t.Helper()
	for _, v := range versions {
		if _, err := l.Add(context.Background(), [][]byte{entry(w.t, manifest(w.t, v, 1))}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) run() (monitor.Report, error) {
	return monitor.Run(context.Background(), w.config)
}

func (w *world) mustRun() monitor.Report {
	w.t.Helper()
	r, err := w.run()
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestLogIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.add(w.log, "1.0.0", "1.1.0")
	if r := w.mustRun(); r.Before != 0 || r.Size != 2 || r.Quorum {
		t.Errorf("%+v", r)
	}
	w.Prove(t, w.log, w.Policy(1), entry(t, manifest(t, "1.2.0", 1)))
	var many [][]byte
	for i := range 300 { // into the second file of entries
		many = append(many, fmt.Appendf(nil, "entry %d", i))
	}
	if _, err := w.log.Add(context.Background(), many); err != nil {
		t.Fatal(err)
	}
	if r := w.mustRun(); r.Before != 2 || r.Size != 303 {
		t.Errorf("%+v", r)
	}
	if r := w.mustRun(); r.Before != 303 || r.Size != 303 {
		t.Errorf("%+v", r)
	}
}

func TestQuorumIsSeen(t *testing.T) {
	w := newWorld(t)
	proof, err := tlog.ParseProof(w.Prove(t, w.log, w.Policy(1), entry(t, manifest(t, "1.0.0", 1))))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.log.Keep(context.Background(), proof.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if r := w.mustRun(); !r.Quorum || len(r.Cosigned) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestUnannouncedEntriesAreShownUntilTheyAreAnnounced(t *testing.T) {
	w := newWorld(t)
	announced := t.TempDir()
	put := func(version string) {
		path := filepath.Join(announced, "bundle-"+version, "targets/cam", version+".json")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, manifest(t, version, 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	look := func() monitor.Report {
		var err error
		if w.config.Announced, _, err = monitor.Announced(announced); err != nil {
			t.Fatal(err)
		}
		return w.mustRun()
	}
	put("1.0.0")
	if err := os.WriteFile(filepath.Join(announced, "notes.json"), []byte(`{"not":"a manifest"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	w.add(w.log, "1.0.0", "6.6.6", "1.1.0")
	put("1.1.0")
	if _, err := w.log.Add(context.Background(), [][]byte{[]byte("hello")}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r := look()
		if len(r.Unannounced) != 2 || r.Unannounced[0].Index != 1 || r.Unannounced[0].Release.Version != "6.6.6" || r.Unannounced[1].Text != `"hello"` {
			t.Fatalf("%+v", r)
		}
	}
	put("6.6.6")
	if r := look(); len(r.Unannounced) != 1 || r.Unannounced[0].Index != 3 {
		t.Errorf("%+v", r)
	}
	// The same version with other content is another release.
	w.add(w.log, "1.2.0")
	path := filepath.Join(announced, "1.2.0.json")
	if err := os.WriteFile(path, manifest(t, "1.2.0", 2), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := look(); len(r.Unannounced) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestTwoFaces(t *testing.T) {
	for name, test := range map[string]struct {
		other []string // what the log shows the second time
		want  string
	}{
		"the same size":  {[]string{"1.0.0", "6.6.6"}, "have different roots"},
		"went on anew":   {[]string{"1.0.0", "6.6.6", "1.2.0"}, "do not add up"},
		"an older state": {[]string{"1.0.0"}, "it had 2 entries, and shows 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(w.log, "1.0.0", "1.1.0")
			w.mustRun()
			dir := t.TempDir()
			w.add(w.Open(t, dir), test.other...)
			w.config.Log = logread.Folder(os.DirFS(dir))
			for range 2 { // it is not forgotten
				_, err := w.run()
				if !errors.Is(err, monitor.ErrTwoFaces) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %v, want %q", err, test.want)
				}
			}
			evidence, err := filepath.Glob(filepath.Join(w.config.Dir, "evidence-*.txt"))
			if err != nil || len(evidence) != 1 {
				t.Fatalf("evidence %v, %v", evidence, err)
			}
			text, err := os.ReadFile(evidence[0])
			if err != nil || bytes.Count(text, []byte("fw.example.com/releases\n")) != 2 {
				t.Errorf("%s, %v", text, err)
			}
			w.config.Log = logread.Folder(os.DirFS(w.dir))
			w.mustRun()
		})
	}
}

// A device was given a proof by a log that nobody else sees.
func TestProofOfAnotherFace(t *testing.T) {
	w := newWorld(t)
	w.add(w.log, "1.0.0", "1.1.0", "1.2.0")
	forked := w.Open(t, t.TempDir())
	w.add(forked, "1.0.0")
	shown := filepath.Join(t.TempDir(), "shown")
	if err := os.MkdirAll(shown, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := w.Prove(t, forked, w.Policy(1), entry(t, manifest(t, "6.6.6", 1)))
	if err := os.WriteFile(filepath.Join(shown, "device.tlog-proof"), secret, 0o644); err != nil {
		t.Fatal(err)
	}
	w.mustRun()
	var err error
	if w.config.Seen, err = monitor.Proofs(shown); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run(); !errors.Is(err, monitor.ErrTwoFaces) || !strings.Contains(err.Error(), "device.tlog-proof") {
		t.Errorf("a proof of a fork: %v", err)
	}
	w.add(forked, "1.3.0", "1.4.0", "1.5.0")
	newest, err := forked.Own(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.config.Seen = map[string][]byte{"ahead": newest.Bytes}
	if _, err := w.run(); !errors.Is(err, monitor.ErrTwoFaces) || !strings.Contains(err.Error(), "speaks of 5 entries") {
		t.Errorf("a checkpoint ahead of the log: %v", err)
	}
	own, err := w.log.Own(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.config.Seen = map[string][]byte{"own": own.Bytes}
	if r := w.mustRun(); r.Compared != 1 {
		t.Errorf("%+v", r)
	}
}

func TestForeignAndDamagedLogs(t *testing.T) {
	w := newWorld(t)
	w.add(w.log, "1.0.0")
	w.mustRun()
	other := tlogtest.New(t, "fw.example.com/releases", 0) // the same name, another key
	dir := t.TempDir()
	w.add(other.Open(t, dir), "1.0.0", "1.1.0")
	w.config.Log = logread.Folder(os.DirFS(dir))
	if _, err := w.run(); err == nil || errors.Is(err, monitor.ErrTwoFaces) {
		t.Errorf("a log with another key: %v", err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(w.dir)))
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Log = logread.HTTP(base, server.Client())
	w.add(w.log, "1.1.0")
	if r := w.mustRun(); r.Size != 2 {
		t.Errorf("over HTTP: %+v", r)
	}
	server.Close()
	if _, err := w.run(); err == nil || errors.Is(err, monitor.ErrTwoFaces) {
		t.Errorf("a server that is down: %v", err)
	}
}
