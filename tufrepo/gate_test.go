package tufrepo

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

// releaseWith is a bundle with a release that has an SBOM.
func (w *world) releaseWith(version string, counter int64, sbom string) string {
	w.t.Helper()
	dir := w.t.TempDir()
	m := repotest.PutArtifact(w.t, dir, repotest.Product, version, counter, repotest.Image("v"+version, 200_000))
	blob := firmware.Blob{Length: int64(len(sbom)), SHA256: firmware.Sum([]byte(sbom))}
	m.Attestations = []firmware.Attestation{{Type: attest.TypeCycloneDX, Blob: blob}}
	repotest.Put(w.t, dir, bundle.BlobName(blob.SHA256), []byte(sbom))
	old := w.base().Role(repotest.Product)
	role := repotest.NewProduct(w.t, old.Signed.Version+1, w.now, old, repotest.PutManifest(w.t, dir, m))
	repotest.Put(w.t, dir, bundle.MetadataName(role.Signed.Version, repotest.Product), repotest.Sign(w.t, role, w.Product...))
	return dir
}

func TestPublishPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	err := os.WriteFile(path, []byte(`{"schema":1,"require":["sbom","notes"],"deny":[{"purl":"pkg:deb/debian/openssl","why":"CVE-2026-1234"}]}`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := attest.LoadPolicy(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.publish(w.genesis()) // without a policy nothing is asked
	before := repotest.Snapshot(t, w.repo.dir)
	sbom := func(name string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"` + name + `","purl":"pkg:deb/debian/` + name + `@1"}]}`
	}
	_, err = w.repo.Publish(t.Context(), w.releaseWith("1.1.0", 2, sbom("openssl")), PublishOptions{Policy: policy})
	problems, ok := bundle.AsProblems(err)
	if !ok || !errors.Is(err, ErrRefused) || len(problems) != 2 || problems[0].File != "targets/base-unit/1.1.0.json" {
		t.Fatalf("%v, want the part and the notes", err)
	}
	for name := range repotest.Snapshot(t, w.repo.dir) {
		if _, was := before[name]; !was {
			t.Errorf("%s was left by a refused publish", name)
		}
	}
	policy.Require = []string{attest.RequireSBOM}
	dir := w.releaseWith("1.1.0", 2, sbom("musl"))
	if _, err = w.repo.Publish(t.Context(), dir, PublishOptions{Policy: policy}); err != nil {
		t.Fatal(err)
	}
	// What is published is not asked about again.
	policy.Deny[0].PURL = "pkg:deb/debian/musl"
	if p, err := w.repo.Publish(t.Context(), dir, PublishOptions{Policy: policy}); err != nil || !p.Nothing {
		t.Errorf("%+v, %v", p, err)
	}
}
