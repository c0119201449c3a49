package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"go.uber.org/goleak"

	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suite is one test: a repository, a server on the loopback, and a client whose
// folders outlive each run of the command.
type suite struct {
	t    *testing.T
	repo *tuftest.Repo
	now  time.Time
	root []byte // given to init

	url, metadata, targets, trusted string
}

// start makes a repository as the suite does: ECDSA keys, no hashes of
// metadata, everything good for 30 days.
func start(t *testing.T) *suite {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	s := &suite{t: t, now: now, repo: tuftest.New(now.AddDate(0, 0, 30))}
	r := s.repo
	r.Kind, r.Hashes = "ecdsa", false
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.Withdraw(role)
		r.Rotate(role)
	}
	r.Root.Signed.Version, r.Targets["targets"].Signed.Version, r.Snapshot.Signed.Version, r.Timestamp.Signed.Version = 1, 1, 1, 1
	r.Publish("root", "targets", "snapshot", "timestamp")
	s.root = r.Version("root", 1)

	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	s.url, s.metadata, s.targets, s.trusted = server.URL, filepath.Join(dir, "metadata"), filepath.Join(dir, "targets"), filepath.Join(dir, "initial_root.json")
	for _, d := range []string{s.metadata, s.targets} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run is one run of the command.
func (s *suite) run(args ...string) int {
	s.t.Helper()
	var stderr strings.Builder
	args = append([]string{"conformance", "--metadata-url", s.url + "/metadata/", "--metadata-dir", s.metadata}, args...)
	code := run(args, &stderr, func() (time.Time, error) { return s.now, nil })
	if code != 0 {
		s.t.Logf("exit %d: %s", code, strings.TrimSpace(stderr.String()))
	}
	return code
}

func (s *suite) init() {
	s.t.Helper()
	if err := os.WriteFile(s.trusted, s.root, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.exits(0, s.run("init", s.trusted))
	s.asked()
}

func (s *suite) refresh(want int) {
	s.t.Helper()
	s.exits(want, s.run("refresh"))
}

func (s *suite) download(want int, names ...string) {
	s.t.Helper()
	args := []string{"--target-base-url", s.url + "/targets/", "--target-dir", s.targets}
	for _, name := range names {
		args = append(args, "--target-name", name)
	}
	s.exits(want, s.run(append(args, "download")...))
}

func (s *suite) exits(want, got int) {
	s.t.Helper()
	if got != want {
		s.t.Fatalf("exit %d, want %d", got, want)
	}
}

// asked returns the metadata asked for since the last call, as "2.root timestamp".
func (s *suite) asked() string {
	var names []string
	for _, name := range s.repo.Requests() {
		if rest, ok := strings.CutPrefix(name, "metadata/"); ok {
			names = append(names, strings.TrimSuffix(rest, ".json"))
		}
	}
	return strings.Join(names, " ")
}

// asks compares what was asked for.
func (s *suite) asks(want string) {
	s.t.Helper()
	if got := s.asked(); got != want {
		s.t.Errorf("asked for %q, want %q", got, want)
	}
}

// trusts compares the files in the metadata folder: "root 1, timestamp 1".
func (s *suite) trusts(want string) {
	s.t.Helper()
	var got []string
	for _, path := range s.files() {
		var md struct {
			Signed struct {
				Version int64 `json:"version"`
			} `json:"signed"`
		}
		if err := json.Unmarshal(s.read(path), &md); err != nil {
			s.t.Fatal(err)
		}
		got = append(got, fmt.Sprint(strings.TrimSuffix(filepath.Base(path), ".json"), " ", md.Signed.Version))
	}
	if have := strings.Join(got, ", "); have != want {
		s.t.Errorf("trusts %q, want %q", have, want)
	}
}

func (s *suite) files() []string {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.metadata, "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func (s *suite) read(path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// holds compares a trusted role with bytes.
func (s *suite) holds(role string, want []byte) {
	s.t.Helper()
	if got := s.read(filepath.Join(s.metadata, role+".json")); string(got) != string(want) {
		s.t.Errorf("the trusted %s is\n%s\nwant\n%s", role, got, want)
	}
}

// has compares the contents of the downloaded targets.
func (s *suite) has(want ...string) {
	s.t.Helper()
	var got []string
	err := filepath.WalkDir(s.targets, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			got = append(got, string(s.read(path)))
		}
		return err
	})
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		s.t.Errorf("downloaded %q, want %q, %v", got, want, err)
	}
}

// publishAll publishes the top level but the root.
func (s *suite) publishAll() { s.repo.Publish("targets", "snapshot", "timestamp") }

// edit changes the newest published bytes of a role as JSON.
func (s *suite) edit(role string, change func(md map[string]any)) {
	s.t.Helper()
	s.repo.Edit(role, func(b []byte) []byte {
		var md map[string]any
		if err := json.Unmarshal(b, &md); err != nil {
			s.t.Fatal(err)
		}
		change(md)
		out, err := json.Marshal(md)
		if err != nil {
			s.t.Fatal(err)
		}
		return out
	})
}

// signatures changes a role's signatures.
func (s *suite) signatures(role string, change func(sigs []any) []any) {
	s.t.Helper()
	s.edit(role, func(md map[string]any) { md["signatures"] = change(md["signatures"].([]any)) })
}

// paths is a delegation of paths, not terminating.
func paths(name string, patterns ...string) metadata.DelegatedRole {
	return metadata.DelegatedRole{Name: name, Paths: patterns}
}
