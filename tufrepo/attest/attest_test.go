package attest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

func golden(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wrap puts a statement into an envelope whose signature is by nobody.
func wrap(statement []byte) []byte {
	raw, _ := json.Marshal(map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString(statement),
		"signatures": []any{map[string]string{"keyid": "", "sig": "AAAA"}},
	})
	return raw
}

func TestRefused(t *testing.T) {
	refusedtest.Run(t, 90, map[string]func(*testing.T, []byte) error{
		"sbom":       func(_ *testing.T, body []byte) error { _, err := attest.ParseSBOM(body); return err },
		"provenance": func(_ *testing.T, body []byte) error { _, err := attest.ParseProvenance(body); return err },
		"statement":  func(_ *testing.T, body []byte) error { _, err := attest.ParseProvenance(wrap(body)); return err },
		"policy":     func(_ *testing.T, body []byte) error { _, err := attest.ParsePolicy(body); return err },
		"vex":        func(_ *testing.T, body []byte) error { _, err := attest.ParseVEX(body); return err },
		"said":       func(_ *testing.T, body []byte) error { _, err := attest.Parse(body); return err },
	})
}

// inBundle puts an envelope into a Sigstore bundle that proves nothing.
func inBundle(envelope []byte) []byte {
	return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"tlogEntries":[]},"dsseEnvelope":%s}`, attest.TypeBundle, envelope)
}

func TestParseSBOM(t *testing.T) {
	s, err := attest.ParseSBOM(golden(t, "cyclonedx.json"))
	if err != nil || s.Type != attest.TypeCycloneDX || len(s.Packages) != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if p := s.Packages[0]; p.String() != "openssl 3.0.15-1" || p.PURL != "pkg:deb/debian/openssl@3.0.15-1?arch=arm64" || p.Licenses[0] != "Apache-2.0" {
		t.Errorf("%+v", p)
	}
	if p := s.Packages[1]; p.Name != "acme/shell" || p.Licenses[0] != "GPL-2.0-only OR MIT" || s.Packages[2].Name != "inner" {
		t.Errorf("%+v", s.Packages[1:])
	}
	s, err = attest.ParseSBOM(golden(t, "spdx3.json"))
	if err != nil || s.Type != attest.TypeSPDX || len(s.Packages) != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if p := s.Packages[0]; p.String() != "busybox 1.36.1" || p.PURL != "pkg:generic/busybox@1.36.1" || !slices.Equal(p.Licenses, []string{"GPL-2.0-only AND LicenseRef-bzip2"}) {
		t.Errorf("%+v", p)
	}
	if p := s.Packages[1]; p.PURL != "pkg:generic/musl@1.2.5" || !slices.Equal(p.Licenses, []string{"MIT", "Acme licence"}) || s.Packages[2].Licenses != nil {
		t.Errorf("%+v", s.Packages[1:])
	}
	s, err = attest.ParseSBOM(golden(t, "spdx.json"))
	if err != nil || s.Type != attest.TypeSPDX || len(s.Packages) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if p := s.Packages[0]; p.String() != "musl 1.2.5-r0" || p.PURL != "pkg:apk/alpine/musl@1.2.5-r0" || p.Licenses[0] != "MIT" {
		t.Errorf("%+v", p)
	}
}

// builder signs as another implementation of DSSE does.
type builder struct{ key crypto.Signer }

func (b builder) Sign(_ context.Context, data []byte) ([]byte, error) {
	s, err := keyfile.NewSigner(b.key)
	if err != nil {
		return nil, err
	}
	return s.SignMessage(bytes.NewReader(data))
}
func (b builder) KeyID() (string, error) { return "the CI", nil }

func sign(t testing.TB, key crypto.Signer, statement []byte) []byte {
	t.Helper()
	signer, err := dsse.NewEnvelopeSigner(builder{key})
	if err != nil {
		t.Fatal(err)
	}
	e, err := signer.SignPayload(t.Context(), "application/vnd.in-toto+json", statement)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newKey(t testing.TB, alg keyfile.Algorithm) crypto.Signer {
	t.Helper()
	key, err := keyfile.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestProvenanceIsSigned(t *testing.T) {
	for _, alg := range []keyfile.Algorithm{keyfile.Ed25519, keyfile.ECDSAP256} {
		key, other := newKey(t, alg), newKey(t, alg)
		p, err := attest.ParseProvenance(sign(t, key, golden(t, "statement.json")))
		if err != nil {
			t.Fatal(err)
		}
		if p.Builder != "https://ci.example.net/builder" || p.BuildType != "https://ci.example.net/image/v1" {
			t.Errorf("%+v", p)
		}
		image, _ := firmware.ParseDigest(strings.Repeat("aa", 32))
		if !p.About(image) || p.About(firmware.Sum(nil)) || p.About(firmware.Digest{}) {
			t.Error("about another image, or not about its own")
		}
		if ok, err := p.SignedBy(key.Public()); !ok || err != nil {
			t.Errorf("%s: its own key: %v, %v", alg, ok, err)
		}
		if ok, err := p.SignedBy(other.Public()); ok || err != nil {
			t.Errorf("%s: another key: %v, %v", alg, ok, err)
		}
	}
}

// desk is a release with what was said about it.
type desk struct {
	manifest *firmware.Manifest
	blobs    map[firmware.Digest][]byte
}

func newDesk() *desk {
	image, _ := firmware.ParseDigest(strings.Repeat("aa", 32))
	return &desk{&firmware.Manifest{Product: "cam", Version: "1.0.0", Image: firmware.Blob{Length: 1, SHA256: image}, Notes: "Fixes the fan."}, map[firmware.Digest][]byte{}}
}

func (d *desk) attach(kind string, raw []byte) {
	b := firmware.Blob{Length: int64(len(raw)), SHA256: firmware.Sum(raw)}
	d.blobs[b.SHA256] = raw
	d.manifest.Attestations = append(d.manifest.Attestations, firmware.Attestation{Type: kind, Blob: b})
}

func (d *desk) open(b firmware.Blob) (io.ReadCloser, error) {
	raw, ok := d.blobs[b.SHA256]
	if !ok {
		return nil, errors.New("no such blob")
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

func loadPolicy(t testing.TB, key crypto.PublicKey, policy []byte) *attest.Policy {
	t.Helper()
	dir := t.TempDir()
	if err := keyfile.SavePublic(filepath.Join(dir, "builder.pub"), key); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(path, policy, 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := attest.LoadPolicy(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestJudge(t *testing.T) {
	key, other := newKey(t, keyfile.ECDSAP256), newKey(t, keyfile.Ed25519)
	statement, sbom := golden(t, "statement.json"), golden(t, "cyclonedx.json")
	change := func(raw []byte, old, now string) []byte {
		if !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("%q is not there", old)
		}
		return bytes.Replace(raw, []byte(old), []byte(now), 1)
	}
	good := func(d *desk) {
		d.attach(attest.TypeCycloneDX, sbom)
		d.attach(attest.TypeProvenance, sign(t, key, statement))
	}
	for _, tt := range []struct {
		name   string
		desk   func(d *desk)
		policy func(p *attest.Policy)
		want   []string // in this order; none: it passes
	}{
		{name: "good", desk: good},
		{name: "nothing is said", desk: func(d *desk) { d.manifest.Notes = " " }, want: []string{"it has no SBOM", "it has no provenance", "it has no release notes"}},
		{name: "another product's policy", desk: func(d *desk) {}, policy: func(p *attest.Policy) { p.Products = []string{"tv"} }},
		{name: "everything is wrong", desk: func(d *desk) {
			d.attach(attest.TypeCycloneDX, change(change(sbom, "Apache-2.0", "AGPL-3.0-only"), "3.0.15-1?", "3.0.1-1?"))
			d.attach(attest.TypeProvenance, sign(t, other, change(statement, "aaaa", "bbbb")))
		}, want: []string{"under a licence that the policy denies: openssl 3.0.15-1 (AGPL-3.0-only)", "stopped by an advisory: openssl 3.0.15-1 (CVE-2026-1234)",
			"the provenance is not about the image", "is not signed by that builder's key"}},
		{name: "choice of licences", desk: good, policy: func(p *attest.Policy) { p.Licenses.Deny = []string{"gpl-2.0-only"} }},
		{name: "no choice of licences", desk: good, policy: func(p *attest.Policy) { p.Licenses.Deny = []string{"GPL-2.0-only", "MIT"} }, want: []string{"acme/shell 2 (GPL-2.0-only OR MIT)"}},
		{name: "licences must be named", desk: good, policy: func(p *attest.Policy) { p.Licenses.Named = true }, want: []string{"names no licence, which the policy requires: inner 0.1"}},
		{name: "unknown builder", desk: func(d *desk) {
			d.attach(attest.TypeCycloneDX, sbom)
			d.attach(attest.TypeProvenance, sign(t, key, change(statement, "example.net/builder", "example.net/laptop")))
		}, want: []string{"is by https://ci.example.net/laptop, which the policy does not name"}},
		{name: "build type", desk: good, policy: func(p *attest.Policy) { p.BuildTypes = []string{"https://x/"} }, want: []string{"build of type https://ci.example.net/image/v1"}},
		{name: "predicate", desk: func(d *desk) { good(d); d.attach("https://example.com/horoscope", []byte("good luck")) },
			policy: func(p *attest.Policy) { p.Predicates = []string{attest.TypeCycloneDX, attest.TypeProvenance} }, want: []string{"https://example.com/horoscope is not one that the policy allows"}},
		{name: "of another type than it says", desk: func(d *desk) { good(d); d.attach(attest.TypeSPDX, sbom) }, want: []string{"the SBOM is entered as application/spdx+json"}},
		{name: "altered", desk: func(d *desk) { good(d); d.blobs[d.manifest.Attestations[0].SHA256] = []byte("{}") }, want: []string{"its bytes are not those that the manifest pins"}},
		{name: "garbage", desk: func(d *desk) { d.attach(attest.TypeSPDX, []byte("{}")); d.attach(attest.TypeProvenance, []byte("x")) },
			want: []string{"neither CycloneDX", "reading the provenance"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, p := newDesk(), loadPolicy(t, key.Public(), golden(t, "policy.json"))
			tt.desk(d)
			if tt.policy != nil {
				tt.policy(p)
			}
			got, err := p.Judge(d.manifest, d.open)
			if err != nil || len(got) != len(tt.want) {
				t.Fatalf("got %q, %v; want %q", got, err, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i].What, want) || got[i].Do == "" {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestPolicyWithoutItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(path, golden(t, "policy.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.LoadPolicy(path, nil); err == nil || !strings.Contains(err.Error(), "builder https://ci.example.net/builder") {
		t.Error(err)
	}
}

func seeds(f *testing.F, kind, good string) {
	f.Add(golden(f, good))
	refusedtest.Seed(f, kind)
}

func FuzzParseSBOM(f *testing.F) {
	seeds(f, "sbom", "cyclonedx.json")
	f.Add(golden(f, "spdx.json"))
	f.Add(golden(f, "spdx3.json"))
	p := loadPolicy(f, newKey(f, keyfile.Ed25519).Public(), golden(f, "policy.json"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := attest.ParseSBOM(raw)
		if err != nil {
			return
		}
		if len(s.Packages) == 0 {
			t.Error("an SBOM of nothing")
		}
		d := newDesk()
		d.attach(s.Type, raw)
		if _, err := p.Judge(d.manifest, d.open); err != nil {
			t.Error(err)
		}
	})
}

func FuzzParseProvenance(f *testing.F) {
	seeds(f, "statement", "statement.json")
	seeds(f, "provenance", "statement.json")
	seeds(f, "said", "statement.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, raw := range [][]byte{raw, wrap(raw), inBundle(raw), inBundle(wrap(raw))} {
			if a, err := attest.Parse(raw); err == nil && (firmware.CheckAttestationType(a.Type) != nil || a.About(firmware.Digest{})) {
				t.Errorf("%+v", a)
			}
			if claim, ok := attest.Claimed(raw); ok && claim.SAN == "" {
				t.Error("a claim of nobody")
			}
			p, err := attest.ParseProvenance(raw)
			if err == nil && (p.Builder == "" || len(p.Subjects) == 0 || p.About(firmware.Digest{})) {
				t.Errorf("%+v", p)
			}
		}
	})
}

// TestVEX: an advisory with an id stops a part unless the last word of the release's own documents is that it does no harm there.
func TestVEX(t *testing.T) {
	key := newKey(t, keyfile.Ed25519)
	statement := func(product, status string) string {
		return fmt.Sprintf(`{"vulnerability":{"name":"CVE-2026-1234"},"products":[%s],"status":%q,"impact_statement":"x","action_statement":"y"}`, product, status)
	}
	const openssl = `{"@id":"pkg:deb/debian/openssl@3.0.15-1"}`
	const stopped = "stopped by an advisory: openssl 3.0.15-1"
	for _, tt := range []struct {
		name string
		vex  []string // statements of one document
		off  bool     // the policy does not listen
		id   string   // of the advisory; "" is CVE-2026-1234
		want string   // "" passes
	}{
		{name: "no document", want: stopped},
		{name: "not affected", vex: []string{statement(openssl, "not_affected")}},
		{name: "fixed", vex: []string{statement(openssl, "fixed")}},
		{name: "affected", vex: []string{statement(openssl, "affected")}, want: stopped},
		{name: "under investigation", vex: []string{statement(openssl, "under_investigation")}, want: stopped},
		{name: "any version", vex: []string{statement(`{"@id":"pkg:deb/debian/openssl?arch=arm64"}`, "fixed")}},
		{name: "another version", vex: []string{statement(`{"@id":"pkg:deb/debian/openssl@3.0.14"}`, "fixed")}, want: stopped},
		{name: "another part", vex: []string{statement(`{"@id":"pkg:deb/debian/openssl-libs@3.0.15-1"}`, "fixed")}, want: stopped},
		{name: "the release, by name", vex: []string{statement(`{"@id":"pkg:generic/cam@1.0.0"}`, "not_affected")}},
		{name: "the release, by its image", vex: []string{statement(`{"@id":"x","hashes":{"sha-256":"IMAGE"}}`, "not_affected")}},
		{name: "another image", vex: []string{statement(`{"@id":"pkg:generic/cam@1.0.0","hashes":{"sha-256":"00"}}`, "not_affected")}, want: stopped},
		{name: "another release", vex: []string{statement(`{"@id":"pkg:generic/cam@1.0.1"}`, "not_affected")}, want: stopped},
		{name: "a part of the release", vex: []string{statement(`{"@id":"pkg:generic/cam@1.0.0","subcomponents":[`+openssl+`]}`, "not_affected")}},
		{name: "another part of the release", vex: []string{statement(`{"@id":"pkg:generic/cam@1.0.0","subcomponents":[{"@id":"pkg:deb/debian/curl"}]}`, "not_affected")}, want: stopped},
		{name: "the last word counts", vex: []string{statement(openssl, "not_affected"), statement(openssl, "affected")}, want: stopped},
		{name: "by its time", vex: []string{strings.Replace(statement(openssl, "fixed"), "{", `{"timestamp":"2026-10-01T00:00:00Z",`, 1), statement(openssl, "affected")}},
		{name: "nobody listens", vex: []string{statement(openssl, "not_affected")}, off: true, want: stopped},
		{name: "of another vulnerability", vex: []string{statement(openssl, "not_affected")}, id: "CVE-2026-4321", want: stopped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, p := newDesk(), loadPolicy(t, key.Public(), golden(t, "policy.json"))
			p.Require, p.VEX = nil, !tt.off
			p.Deny = []attest.Advisory{{PURL: "pkg:deb/debian/openssl", ID: cmp.Or(tt.id, "CVE-2026-1234"), Why: "it leaks"}}
			d.attach(attest.TypeCycloneDX, golden(t, "cyclonedx.json"))
			if len(tt.vex) > 0 {
				d.attach(attest.TypeVEX, []byte(strings.ReplaceAll(fmt.Sprintf(`{"@context":%q,"@id":"x","author":"a","timestamp":"2026-09-01T12:00:00Z","version":1,"statements":[%s]}`,
					attest.TypeVEX, strings.Join(tt.vex, ",")), "IMAGE", d.manifest.Image.SHA256.String())))
			}
			got, err := p.Judge(d.manifest, d.open)
			if err != nil || len(got) > 1 || (len(got) == 1) != (tt.want != "") || len(got) == 1 && !strings.Contains(got[0].What, tt.want) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzParseVEX(f *testing.F) {
	seeds(f, "vex", "vex.json")
	p := loadPolicy(f, newKey(f, keyfile.Ed25519).Public(), golden(f, "policy.json"))
	sbom := golden(f, "cyclonedx.json")
	p.VEX, p.Deny = true, []attest.Advisory{{PURL: "pkg:deb/debian/openssl", ID: "CVE-2026-1234", Why: "it leaks"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, err := attest.ParseVEX(raw)
		d := newDesk()
		d.attach(attest.TypeCycloneDX, sbom)
		d.attach(attest.TypeVEX, raw)
		if got, judged := p.Judge(d.manifest, d.open); judged != nil || err != nil && len(got) == 0 {
			t.Errorf("%q, %v of a document that is refused: %v", got, judged, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	seeds(f, "policy", "policy.json")
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := attest.ParsePolicy(raw)
		if err == nil && p.Schema != 1 {
			t.Error("of another schema")
		}
	})
}
