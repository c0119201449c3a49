package attest

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/fairlead/fairlead/firmware"
)

// MaxTrustedRoot is the longest trusted root file, in bytes.
const MaxTrustedRoot = 1 << 20

// Identity is somebody who logged in: at an issuer of identities, and under a name, both as the authority that gave a
// certificate for the login wrote them into it.
type Identity struct {
	Issuer       string `json:"issuer,omitempty"`        // "https://token.actions.githubusercontent.com"
	IssuerRegexp string `json:"issuer_regexp,omitempty"` // instead of Issuer; must match all of it
	SAN          string `json:"san,omitempty"`           // a workflow, a service account, a mail address
	SANRegexp    string `json:"san_regexp,omitempty"`    // instead of SAN; must match all of it
}

// Attested wants an attestation, and says who must have signed it.
type Attested struct {
	Type string     `json:"type"` // of the predicate, or TypeBundle for a signature over the image
	By   []Identity `json:"by"`   // one of them
}

// Signed is what a bundle has proved: who signed, and what.
type Signed struct {
	Issuer, SAN string
	Payload     []byte // the statement; nil where the image itself is signed
}

// Keyless proves Sigstore bundles by a trusted root. The package keyless has the one that there is; it stands apart because
// of its weight.
type Keyless interface {
	// Verify says who signed the bundle: a statement of whatever content, or the image. The error says in words what
	// was asked for and what came.
	Verify(bundle []byte, image firmware.Digest) (Signed, error)
}

// OpenKeyless makes a Keyless of a trusted root file's bytes.
type OpenKeyless func(trustedRoot []byte) (Keyless, error)

// strangers are names that no pattern may let in: it would let in anybody.
var strangers = []string{"", "anybody@anywhere.invalid", "https://anywhere.invalid/", "https://anywhere.invalid/anybody/anything"}

func (id Identity) check() error {
	for _, one := range []struct{ name, exact, pattern string }{{"issuer", id.Issuer, id.IssuerRegexp}, {"san", id.SAN, id.SANRegexp}} {
		if (one.exact == "") == (one.pattern == "") {
			return fmt.Errorf("identity: give %s or %s_regexp, and only one of them", one.name, one.name)
		}
		if one.pattern == "" {
			continue
		}
		re, err := whole(one.pattern)
		if err != nil {
			return fmt.Errorf("identity: %s_regexp: %w", one.name, err)
		}
		for _, s := range strangers {
			if re.MatchString(s) {
				return fmt.Errorf("identity: %s_regexp %.80q matches %q: it would let in anybody", one.name, one.pattern, s)
			}
		}
	}
	return nil
}

// whole makes a pattern match all of a text or nothing.
func whole(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // so that no parenthesis of its own closes ours
		return nil, err
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

func (id Identity) matches(s Signed) bool {
	return matches(id.Issuer, id.IssuerRegexp, s.Issuer) && matches(id.SAN, id.SANRegexp, s.SAN)
}

func matches(exact, pattern, came string) bool {
	if pattern == "" {
		return exact != "" && exact == came
	}
	re, err := whole(pattern)
	return err == nil && re.MatchString(came)
}

// String says in words whom the identity asks for.
func (id Identity) String() string {
	say := func(exact, pattern string) string {
		if pattern != "" {
			return fmt.Sprintf("whatever matches %.200q", pattern)
		}
		return fmt.Sprintf("%.200q", exact)
	}
	return say(id.SAN, id.SANRegexp) + ", logged in at " + say(id.Issuer, id.IssuerRegexp)
}

// unsignedTypes are documents whose type says that they have no signature of their own.
var unsignedTypes = map[string]bool{TypeCycloneDX: true, TypeSPDX: true, TypeVEX: true}

func (a Attested) check() error {
	if err := firmware.CheckAttestationType(a.Type); err != nil {
		return err
	}
	if unsignedTypes[a.Type] {
		return fmt.Errorf("attested: %s is a document without a signature: have it attested, and name the type of the predicate", a.Type)
	}
	if a.Type == TypeProvenance {
		return errors.New("attested: who signs provenance is said in \"builders\", beside the builder's id")
	}
	if len(a.By) == 0 {
		return fmt.Errorf("attested: %s names nobody in \"by\": no release could pass", a.Type)
	}
	for _, id := range a.By {
		if err := id.check(); err != nil {
			return fmt.Errorf("attested: %s: %w", a.Type, err)
		}
	}
	return nil
}
