package keyless_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/attest/keyless"
	"github.com/fairlead/fairlead/tufrepo/attest/keyless/keylesstest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	issuer = "https://token.ci.example.net"
	san    = "release@acme.example"
	tested = "https://example.com/tested/v1"
)

var image = []byte("the bytes that fill a slot")

// statement is provenance of an image, or another predicate of it.
func statement(kind string, image []byte) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"rootfs","digest":{"sha256":"%v"}}],"predicateType":%q,
		"predicate":{"buildDefinition":{"buildType":"https://ci.example.net/image/v1","externalParameters":{}},
		"runDetails":{"builder":{"id":"https://ci.example.net/builder"}}}}`, firmware.Sum(image), kind)
}

// policy wants provenance by the builder's identity.
func policy(t testing.TB, trustedRoot []byte, change func(*attest.Policy)) *attest.Policy {
	t.Helper()
	p := &attest.Policy{Schema: 1, Require: []string{attest.RequireProvenance}, TrustedRoot: "trusted_root.json",
		Builders: []attest.Builder{{ID: "https://ci.example.net/builder", Identity: &attest.Identity{Issuer: issuer, SAN: san}}}}
	if change != nil {
		change(p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, raw := range map[string][]byte{"policy.json": raw, "trusted_root.json": trustedRoot} {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = attest.LoadPolicy(filepath.Join(dir, "policy.json"), keyless.Open); err != nil {
		t.Fatal(err)
	}
	return p
}

// judge asks the policy about a release of the image with one attestation.
func judge(t testing.TB, p *attest.Policy, kind string, raw []byte) []attest.Refusal {
	t.Helper()
	blob := firmware.Blob{Length: int64(len(raw)), SHA256: firmware.Sum(raw)}
	m := &firmware.Manifest{Product: "cam", Version: "1.0.0", Image: firmware.Blob{Length: int64(len(image)), SHA256: firmware.Sum(image)},
		Attestations: []firmware.Attestation{{Type: kind, Blob: blob}}}
	got, err := p.Judge(m, func(firmware.Blob) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestProvenanceByIdentity(t *testing.T) {
	ours, theirs := keylesstest.New(t), keylesstest.New(t)
	seen := ours.NewAuthority()
	good := statement(attest.TypeProvenance, image)
	attested := func(who, at string) keylesstest.Bundle { return ours.Attest(who, at, good, 5*time.Minute) }
	pattern := func(p *attest.Policy) {
		p.Builders[0].Identity = &attest.Identity{IssuerRegexp: `https://token\.ci\.example\.net`, SANRegexp: `[a-z]+@acme\.example`}
	}
	for _, tt := range []struct {
		name   string
		bundle func() keylesstest.Bundle
		parts  keylesstest.Parts
		policy func(*attest.Policy)
		want   []string // all in one refusal; none: it passes
	}{
		{name: "good", bundle: func() keylesstest.Bundle { return attested(san, issuer) }},
		{name: "good by pattern", bundle: func() keylesstest.Bundle { return attested(san, issuer) }, policy: pattern},
		{name: "good by a log that says no time", bundle: func() keylesstest.Bundle { return ours.AttestV2(san, issuer, good) }},
		{name: "good without time stamps", bundle: func() keylesstest.Bundle {
			b := attested(san, issuer)
			b.VerificationMaterial.TimestampVerificationData = nil
			return b
		}},
		{name: "wrong issuer", bundle: func() keylesstest.Bundle { return attested(san, "https://login.evil.example") },
			want: []string{`signed by "release@acme.example", logged in at "https://login.evil.example"`, `wants it signed by "release@acme.example", logged in at "https://token.ci.example.net"`}},
		{name: "wrong san", bundle: func() keylesstest.Bundle { return attested("intern@acme.example", issuer) },
			want: []string{`signed by "intern@acme.example", logged in at "https://token.ci.example.net"`, `wants it signed by "release@acme.example"`}},
		{name: "pattern within", bundle: func() keylesstest.Bundle { return attested("release@acme.example.evil.example", issuer) }, policy: pattern,
			want: []string{`signed by "release@acme.example.evil.example"`, `whatever matches "[a-z]+@acme\\.example"`}},
		{name: "another authority", bundle: func() keylesstest.Bundle { return theirs.Attest(san, issuer, good, 5*time.Minute) },
			want: []string{"cannot be believed: asked for is a certificate of https://virtual.fulcio", "there is a certificate for \"release@acme.example\"", "1 log entries", "not enough verified log entries"}},
		{name: "another authority, in our log", bundle: func() keylesstest.Bundle { return attested(san, issuer) }, parts: keylesstest.Parts{AuthoritiesOf: theirs},
			want: []string{"failed to verify leaf certificate"}},
		{name: "not in the log", bundle: func() keylesstest.Bundle {
			b := attested(san, issuer)
			b.VerificationMaterial.TlogEntries = nil
			return b
		}, want: []string{"with 0 log entries and 1 time stamps", "not enough verified log entries"}},
		{name: "no log, no time", bundle: func() keylesstest.Bundle {
			b := attested(san, issuer)
			b.VerificationMaterial.TlogEntries, b.VerificationMaterial.TimestampVerificationData = nil, nil
			return b
		}, want: []string{"with 0 log entries and 0 time stamps"}},
		{name: "entry of another bundle", bundle: func() keylesstest.Bundle {
			b := attested(san, issuer)
			b.VerificationMaterial.TlogEntries = attested(san, issuer).VerificationMaterial.TlogEntries
			return b
		}, want: []string{"transparency log signature does not match"}},
		{name: "logged after the certificate expired", bundle: func() keylesstest.Bundle { return ours.Attest(san, issuer, good, 11*time.Minute) },
			want: []string{"integrated time outside certificate validity"}},
		{name: "a log that says no time, and no stamps", bundle: func() keylesstest.Bundle { return ours.AttestV2(san, issuer, good) }, parts: keylesstest.Parts{NoStamps: true},
			want: []string{"threshold not met for verified signed & log entry integrated timestamps"}},
		{name: "certificate in no log of certificates", bundle: func() keylesstest.Bundle { return attested(san, issuer) }, parts: keylesstest.Parts{CTLogs: true},
			want: []string{"that one of 1 logs of certificates has seen", "signed certificate timestamp"}},
		{name: "certificate in the log of certificates", bundle: func() keylesstest.Bundle { return seen.Attest(san, issuer, good, seen) }, parts: keylesstest.Parts{Authority: seen}},
		{name: "certificate in another log of certificates", bundle: func() keylesstest.Bundle { return seen.Attest(san, issuer, good, ours.NewAuthority()) }, parts: keylesstest.Parts{Authority: seen},
			want: []string{"that one of 1 logs of certificates has seen", "only able to verify 0 SCT entries"}},
		{name: "another image", bundle: func() keylesstest.Bundle {
			return ours.Attest(san, issuer, statement(attest.TypeProvenance, []byte("x")), 5*time.Minute)
		}, want: []string{"the provenance is not about the image"}},
		{name: "altered", bundle: func() keylesstest.Bundle {
			b := attested(san, issuer)
			b.GetDsseEnvelope().Payload = bytes.Replace(b.GetDsseEnvelope().Payload, []byte("rootfs"), []byte("rootfz"), 1)
			return b
		}, want: []string{"payload hash"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy(t, ours.TrustedRoot(tt.parts), tt.policy)
			got := judge(t, p, attest.TypeProvenance, tt.bundle().JSON(t))
			if len(tt.want) == 0 && len(got) == 0 {
				return
			}
			if len(got) != 1 || len(tt.want) == 0 || got[0].Do == "" {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for _, want := range tt.want {
				if !strings.Contains(got[0].What, want) {
					t.Errorf("got %q, want %q", got[0].What, want)
				}
			}
		})
	}
}

// A bundle that is too long is not read, and a plain signature is no identity.
func TestNoBundle(t *testing.T) {
	s := keylesstest.New(t)
	p := policy(t, s.TrustedRoot(keylesstest.Parts{}), nil)
	raw := s.Attest(san, issuer, statement(attest.TypeProvenance, image), 5*time.Minute).JSON(t)
	long := append(bytes.Clone(raw), bytes.Repeat([]byte(" "), attest.MaxStatement)...)
	if got := judge(t, p, attest.TypeProvenance, long); len(got) != 1 || !strings.Contains(got[0].What, "at most 4194304 are read") {
		t.Errorf("%q", got)
	}
	if k, err := keyless.Open(s.TrustedRoot(keylesstest.Parts{})); err != nil {
		t.Error(err)
	} else if _, err := k.Verify(long, firmware.Sum(image)); err == nil || !strings.Contains(err.Error(), "at most 4194304 are allowed") {
		t.Error(err)
	}
	var bundle struct {
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(raw, &bundle); err != nil {
		t.Fatal(err)
	}
	got := judge(t, p, attest.TypeProvenance, bundle.Envelope)
	if len(got) != 1 || !strings.Contains(got[0].What, "the provenance is signed with a plain key, in no Sigstore bundle") || !strings.Contains(got[0].What, san) {
		t.Errorf("%q", got)
	}
}

// Other attestations, and signatures of the image itself.
func TestAttested(t *testing.T) {
	s := keylesstest.New(t)
	wants := func(kind string) *attest.Policy {
		return policy(t, s.TrustedRoot(keylesstest.Parts{}), func(p *attest.Policy) {
			p.Require, p.Builders, p.Attested = nil, nil, []attest.Attested{{Type: kind, By: []attest.Identity{
				{Issuer: issuer, SAN: "night@acme.example"}, {Issuer: issuer, SANRegexp: `release@acme\.(example|test)`}}}}
		})
	}
	attested := func(kind string, about []byte) []byte {
		return s.Attest(san, issuer, statement(kind, about), 5*time.Minute).JSON(t)
	}
	for _, tt := range []struct {
		name, wants, kind string
		raw               []byte
		want              []string
	}{
		{"good", tested, tested, attested(tested, image), nil},
		{"missing", tested, attest.TypeProvenance, attested(attest.TypeProvenance, image), []string{"it has no attestation of type https://example.com/tested/v1"}},
		{"another predicate", tested, tested, attested("https://example.com/tasted/v1", image), []string{"has a statement with predicateType https://example.com/tasted/v1"}},
		{"another image, by a stranger", tested, tested, s.Attest("x@evil.example", issuer, statement(tested, []byte("x")), 5*time.Minute).JSON(t),
			[]string{"is not about the image", `signed by "x@evil.example"`}},
		{"the image", attest.TypeBundle, attest.TypeBundle, s.Sign(san, issuer, image).JSON(t), nil},
		{"another file", attest.TypeBundle, attest.TypeBundle, s.Sign(san, issuer, []byte("x")).JSON(t), []string{"the signature of the image, which the policy wants"}},
		{"a stranger", attest.TypeBundle, attest.TypeBundle, s.Sign("x@evil.example", issuer, image).JSON(t), []string{`signed by "x@evil.example"`}},
		{"a statement for a signature", attest.TypeBundle, attest.TypeBundle, attested(tested, image), []string{"signed for something else"}},
		{"a signature for a statement", tested, tested, s.Sign(san, issuer, image).JSON(t), []string{"the Sigstore bundle has no dsseEnvelope"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(t, wants(tt.wants), tt.kind, tt.raw)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i].What, want) {
					t.Errorf("got %q, want %q", got[i].What, want)
				}
			}
		})
	}
}

// A bundle with a key, as cosign makes it with --key, says nobody's name.
func TestBundleWithAKey(t *testing.T) {
	s := keylesstest.New(t)
	raw := s.Attest(san, issuer, statement(attest.TypeProvenance, image), 5*time.Minute).JSON(t)
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	material := doc["verificationMaterial"].(map[string]any)
	delete(material, "certificate")
	material["publicKey"] = map[string]string{"hint": "builder"}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	got := judge(t, policy(t, s.TrustedRoot(keylesstest.Parts{}), nil), attest.TypeProvenance, raw)
	if len(got) != 1 || !strings.Contains(got[0].What, "has no certificate that says who was logged in") {
		t.Errorf("%q", got)
	}
}

// Each trusted root that could believe nobody, or anybody, is refused with the policy.
func TestTrustedRootRefused(t *testing.T) {
	s := keylesstest.New(t)
	dir := t.TempDir()
	for _, tt := range []struct{ root, want string }{
		{string(s.TrustedRoot(keylesstest.Parts{NoAuthorities: true})), "it names no certificate authority"},
		{string(s.TrustedRoot(keylesstest.Parts{NoLogs: true})), "it names no transparency log"},
		{`{"mediaType":"application/json"}`, "unsupported TrustedRoot media type"},
		{`{"mediaType":"x","mediatype":"y"}`, "one name, two values"},
		{strings.Repeat(" ", attest.MaxTrustedRoot+1), "at most 1048576 are allowed"},
		{`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","certificateAuthorities":[{}],"tlogs":[{}]}`, "not a Sigstore trusted root"},
		{"", "unexpected end"},
	} {
		raw := `{"schema":1,"trusted_root":"root.json","attested":[{"type":"https://example.com/tested/v1","by":[{"issuer":"i","san":"s"}]}]}`
		err := errors.Join(os.WriteFile(filepath.Join(dir, "policy.json"), []byte(raw), 0o600), os.WriteFile(filepath.Join(dir, "root.json"), []byte(tt.root), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := attest.LoadPolicy(filepath.Join(dir, "policy.json"), keyless.Open); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: %v, want %q", tt.root, err, tt.want)
		}
		if _, err := attest.LoadPolicy(filepath.Join(dir, "policy.json"), nil); err == nil || !strings.Contains(err.Error(), "identities, which are not verified here") {
			t.Errorf("without a prover: %v", err)
		}
	}
}

// A builder may be named twice, with a key and with an identity, while the build system moves from one to the other.
func TestKeyOrIdentity(t *testing.T) {
	s := keylesstest.New(t)
	key, err := keyfile.Generate(keyfile.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(t.TempDir(), "builder.pub")
	if err := keyfile.SavePublic(pub, key.Public()); err != nil {
		t.Fatal(err)
	}
	p := policy(t, s.TrustedRoot(keylesstest.Parts{}), func(p *attest.Policy) {
		p.Builders = append(p.Builders, attest.Builder{ID: p.Builders[0].ID, Key: pub})
	})
	if got := judge(t, p, attest.TypeProvenance, s.Attest(san, issuer, statement(attest.TypeProvenance, image), 5*time.Minute).JSON(t)); len(got) > 0 {
		t.Errorf("the identity: %q", got)
	}
	if got := judge(t, p, attest.TypeProvenance, s.Attest("x@evil.example", issuer, statement(attest.TypeProvenance, image), 5*time.Minute).JSON(t)); len(got) != 1 {
		t.Errorf("a stranger: %q", got)
	}
}

func FuzzVerify(f *testing.F) {
	s := keylesstest.New(f)
	k, err := keyless.Open(s.TrustedRoot(keylesstest.Parts{}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Attest(san, issuer, statement(attest.TypeProvenance, image), 5*time.Minute).JSON(f))
	f.Add(s.AttestV2(san, issuer, statement(tested, image)).JSON(f))
	f.Add(s.Sign(san, issuer, image).JSON(f))
	f.Fuzz(func(t *testing.T, raw []byte) {
		signed, err := k.Verify(raw, firmware.Sum(image))
		if err == nil && (signed.SAN != san || signed.Issuer != issuer) {
			t.Errorf("%+v", signed)
		}
	})
}

func FuzzOpen(f *testing.F) {
	f.Add(keylesstest.New(f).TrustedRoot(keylesstest.Parts{CTLogs: true}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if k, err := keyless.Open(raw); (k == nil) == (err == nil) {
			t.Errorf("%v, %v", k, err)
		}
	})
}

// An SBOM in a statement is read like one that stands for itself, and may be wanted from somebody.
func TestAttestedSBOM(t *testing.T) {
	s := keylesstest.New(t)
	const kind = "https://cyclonedx.org/bom"
	sbom := func(about []byte, content string) []byte {
		return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"rootfs","digest":{"sha256":"%v"}}],"predicateType":%q,"predicate":%s}`,
			firmware.Sum(about), kind, content)
	}
	parts := func(license string) string {
		return fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"musl","licenses":[{"license":{"id":%q}}]}]}`, license)
	}
	open := policy(t, s.TrustedRoot(keylesstest.Parts{}), func(p *attest.Policy) {
		p.Require, p.Builders, p.TrustedRoot = []string{attest.RequireSBOM}, nil, ""
		p.Licenses.Deny = []string{"AGPL-*"}
	})
	strict := policy(t, s.TrustedRoot(keylesstest.Parts{}), func(p *attest.Policy) {
		p.Require, p.Builders = []string{attest.RequireSBOM}, nil
		p.Attested = []attest.Attested{{Type: kind, By: []attest.Identity{{Issuer: issuer, SAN: san}}}}
	})
	by := func(who string, statement []byte) []byte {
		return s.Attest(who, issuer, statement, 5*time.Minute).JSON(t)
	}
	for _, tt := range []struct {
		name   string
		policy *attest.Policy
		raw    []byte
		want   []string
	}{
		{"anybody's", open, by("x@evil.example", sbom(image, parts("MIT"))), nil},
		{"a licence that is denied", open, by(san, sbom(image, parts("AGPL-3.0-only"))), []string{"under a licence that the policy denies: musl"}},
		{"of another image", open, by(san, sbom([]byte("x"), parts("MIT"))), []string{"is not about the image"}},
		{"no SBOM", open, by(san, sbom(image, `{"hello":"world"}`)), []string{"neither CycloneDX"}},
		{"no predicate", open, by(san, sbom(image, `""`)), []string{"reading the SBOM"}},
		{"by whom it is wanted from", strict, by(san, sbom(image, parts("MIT"))), nil},
		{"by another", strict, by("x@evil.example", sbom(image, parts("MIT"))), []string{`signed by "x@evil.example"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(t, tt.policy, kind, tt.raw)
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i].What, want) {
					t.Errorf("got %q, want %q", got[i].What, want)
				}
			}
		})
	}
	raw := by(san, sbom(image, parts("MIT")))
	if claim, ok := attest.Claimed(raw); !ok || claim != (attest.Identity{Issuer: issuer, SAN: san}) {
		t.Errorf("it claims %+v", claim)
	}
	if a, err := attest.Parse(raw); err != nil || a.Type != kind || !a.About(firmware.Sum(image)) {
		t.Errorf("%+v, %v", a, err)
	}
}
