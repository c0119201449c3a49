package tufrepo

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// The repository is TUF, not something like it: go-tuf's own updater, which
// knows nothing of us, walks the roots, refreshes and downloads a release.
func TestGoTUFUpdaterReadsTheRepository(t *testing.T) {
	w, l := withLog(t)
	w.publish(w.loggedGenesis(l.Policy(1)))
	w.publish(w.rotateOnline())
	w.publish(w.release("1.1.0", 2))
	w.now = w.now.Add(4 * 24 * 3600e9)
	w.renew()
	s := httptest.NewServer(w.repo.Handler(slog.New(slog.DiscardHandler)))
	defer s.Close()

	root, err := os.ReadFile(w.repo.path("metadata/1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := tufconfig.New(s.URL+"/metadata", root)
	if err != nil {
		t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = t.TempDir(), t.TempDir()
	cfg.RemoteTargetsURL = s.URL + "/targets"
	u, err := updater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	u.UnsafeSetRefTime(w.now)
	if err := u.Refresh(); err != nil {
		t.Fatal(err)
	}
	info, err := u.GetTargetInfo("base-unit/1.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	_, raw, err := u.DownloadTarget(info, filepath.Join(cfg.LocalTargetsDir, "manifest"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := firmware.ParseManifest(raw)
	if err != nil || m.Version != "1.1.0" || m.Product != repotest.Product {
		t.Errorf("manifest %+v, error %v", m, err)
	}
	if info, err = u.GetTargetInfo(tlog.PolicyPath); err != nil {
		t.Fatal(err)
	}
	if _, raw, err = u.DownloadTarget(info, filepath.Join(cfg.LocalTargetsDir, "policy"), ""); err != nil || string(raw) != l.Policy(1) {
		t.Errorf("log policy %q, error %v", raw, err)
	}
	if v := u.GetTrustedMetadataSet().Root.Signed.Version; v != 2 {
		t.Errorf("root %d, want 2", v)
	}
}
