package attest

import (
	"crypto"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// MaxPolicy is the longest policy file, in bytes.
const MaxPolicy = 1 << 20

// What a policy may require.
const (
	RequireSBOM       = "sbom"
	RequireProvenance = "provenance"
	RequireNotes      = "notes"
)

// Policy is what must be said of a release before it is published: a JSON file of the operator's.
type Policy struct {
	Schema int `json:"schema"` // 1
	// Products are those that the policy is for; empty means all.
	Products []string `json:"products,omitempty"`
	// Require lists "sbom", "provenance" and "notes".
	Require []string `json:"require,omitempty"`
	// Predicates are the types of attestations that may stand in a manifest; empty means any.
	Predicates []string `json:"predicates,omitempty"`
	// Builders are the build systems whose provenance counts. With none, no provenance does.
	Builders []Builder `json:"builders,omitempty"`
	// BuildTypes are the kinds of builds that count; empty means any.
	BuildTypes []string   `json:"build_types,omitempty"`
	Licenses   Licenses   `json:"licenses,omitzero"`
	Deny       []Advisory `json:"deny,omitempty"`
	// VEX lets OpenVEX documents of the release clear parts of advisories that have an id.
	VEX bool `json:"vex,omitempty"`
	// Attested are attestations that must be there, and who must have signed them.
	Attested []Attested `json:"attested,omitempty"`
	// TrustedRoot is the file, the operator's own, of the authorities and logs that identities are believed by: a Sigstore
	// trusted root. A relative path is taken from the folder of the policy.
	TrustedRoot string `json:"trusted_root,omitempty"`

	keyless Keyless
}

// Builder is a build system, and how it signs: with a key, or with an identity.
type Builder struct {
	ID       string    `json:"id"`                 // runDetails.builder.id
	Key      string    `json:"key,omitempty"`      // file of the public key; a relative path is taken from the folder of the policy
	Identity *Identity `json:"identity,omitempty"` // instead of Key

	public crypto.PublicKey
}

// Licenses are what parts may not be under.
type Licenses struct {
	Deny []string `json:"deny,omitempty"` // identifiers or names; with "*" at the end, all that begin so
	// Named means that every part must name a licence.
	Named bool `json:"named,omitempty"`
}

// Advisory stops releases that contain a part.
type Advisory struct {
	PURL     string   `json:"purl"`               // without version and qualifiers: "pkg:deb/debian/openssl"
	Versions []string `json:"versions,omitempty"` // exactly these; empty means all
	ID       string   `json:"id,omitempty"`       // of the vulnerability, as OpenVEX documents name it: "CVE-2026-1234"
	Why      string   `json:"why"`                // for people: "fixed in 3.0.16"
}

// LoadPolicy reads a policy and the files that it names. open is asked where the policy wants identities; nil means that
// such a policy is refused.
func LoadPolicy(path string, open OpenKeyless) (*Policy, error) {
	raw, err := readLimited(path, MaxPolicy)
	if err != nil {
		return nil, fmt.Errorf("reading the publish policy: %w", err)
	}
	p, err := ParsePolicy(raw)
	if err != nil {
		return nil, fmt.Errorf("publish policy %s: %w", path, err)
	}
	if err := p.load(filepath.Dir(path), open); err != nil {
		return nil, fmt.Errorf("publish policy %s: %w", path, err)
	}
	return p, nil
}

func (p *Policy) load(dir string, open OpenKeyless) error {
	from := func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(dir, file)
	}
	var err error
	for i := range p.Builders {
		b := &p.Builders[i]
		if b.Key == "" {
			continue
		}
		if b.public, err = keyfile.LoadPublic(from(b.Key)); err != nil {
			return fmt.Errorf("builder %s: %w", b.ID, err)
		}
	}
	if p.TrustedRoot == "" {
		return nil
	}
	if open == nil {
		return errors.New("it wants identities, which are not verified here")
	}
	raw, err := readLimited(from(p.TrustedRoot), MaxTrustedRoot)
	if err != nil {
		return fmt.Errorf("reading the trusted root: %w", err)
	}
	if p.keyless, err = open(raw); err != nil {
		return fmt.Errorf("trusted root %s: %w", p.TrustedRoot, err)
	}
	return nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", path, st.Size(), limit)
	}
	return os.ReadFile(path)
}

// ParsePolicy reads a policy. The keys of its builders are still files: [LoadPolicy] reads them.
func ParsePolicy(raw []byte) (*Policy, error) {
	p := new(Policy)
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: MaxPolicy, Known: true}, p); err != nil {
		return nil, err
	}
	for _, check := range []func() error{p.checkHead, p.checkBuilders, p.checkSigners, p.checkLists} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Policy) checkHead() error {
	if p.Schema != 1 {
		return fmt.Errorf("schema %d is not known here, only 1", p.Schema)
	}
	for _, product := range p.Products {
		if err := firmware.CheckProduct(product); err != nil {
			return err
		}
	}
	for i, r := range p.Require {
		if r != RequireSBOM && r != RequireProvenance && r != RequireNotes {
			return fmt.Errorf("require: %.40q is not known: use %s, %s, %s", r, RequireSBOM, RequireProvenance, RequireNotes)
		}
		if slices.Contains(p.Require[:i], r) {
			return fmt.Errorf("require: %q stands there twice", r)
		}
	}
	return nil
}

func (p *Policy) checkBuilders() error {
	for _, b := range p.Builders {
		if u, err := url.Parse(b.ID); err != nil || u.Scheme == "" {
			return fmt.Errorf("builder id %.80q is not a URI", b.ID)
		}
		if b.Key == "" && b.Identity == nil {
			return fmt.Errorf("builder %.80s has no key and no identity", b.ID)
		}
		if b.Key != "" && b.Identity != nil {
			return fmt.Errorf("builder %.80s has a key and an identity: name the builder twice if either may sign", b.ID)
		}
	}
	if slices.Contains(p.Require, RequireProvenance) && len(p.Builders) == 0 {
		return fmt.Errorf("provenance is required and no builder is named: no release could pass")
	}
	return nil
}

func (p *Policy) checkLists() error {
	for _, t := range p.Predicates {
		if err := firmware.CheckAttestationType(t); err != nil {
			return err
		}
	}
	for _, l := range p.Licenses.Deny {
		if strings.TrimSuffix(l, "*") == "" || strings.TrimSpace(l) != l {
			return fmt.Errorf("licenses: %.40q would deny nothing, or all", l)
		}
	}
	for _, a := range p.Deny {
		if !strings.HasPrefix(a.PURL, "pkg:") || strings.ContainsAny(a.PURL, "@?#") {
			return fmt.Errorf("deny: %.80q is not a package URL without version and qualifiers, such as pkg:deb/debian/openssl", a.PURL)
		}
		if a.Why == "" {
			return fmt.Errorf("deny: %s has no \"why\": whoever is refused has to be told", a.PURL)
		}
	}
	if p.VEX && !slices.ContainsFunc(p.Deny, func(a Advisory) bool { return a.ID != "" }) {
		return fmt.Errorf("vex: no advisory of \"deny\" has an \"id\": there is nothing that a document could clear")
	}
	if len(p.Licenses.Deny)+len(p.Deny) > 0 || p.Licenses.Named {
		if !slices.Contains(p.Require, RequireSBOM) {
			return fmt.Errorf("licenses and deny look into the SBOM: add %q to require", RequireSBOM)
		}
	}
	return nil
}
