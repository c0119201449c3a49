package attest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Types of attestations, as they stand in a manifest.
const (
	TypeCycloneDX  = "application/vnd.cyclonedx+json"
	TypeSPDX       = "application/spdx+json"
	TypeProvenance = "https://slsa.dev/provenance/v1"
)

var (
	cycloneDXPredicate = regexp.MustCompile(`^https://cyclonedx\.org/bom(/v[0-9.]+)?$`)
	spdxPredicate      = regexp.MustCompile(`^https://spdx\.dev/Document(/v[0-9.]+)?$`)
)

// SBOMIn is the type of the SBOM that statements with this type of predicate hold; "" if they hold none.
func SBOMIn(predicate string) string {
	switch {
	case cycloneDXPredicate.MatchString(predicate):
		return TypeCycloneDX
	case spdxPredicate.MatchString(predicate):
		return TypeSPDX
	}
	return ""
}

// MaxSBOM is the longest SBOM, in bytes: some 100,000 packages.
const MaxSBOM = 64 << 20

const maxPackages = 200_000

// SBOM says of what a release is made.
type SBOM struct {
	Type     string // TypeCycloneDX or TypeSPDX
	Packages []Package
}

// Package is one part.
type Package struct {
	Name, Version string
	PURL          string   // package URL, "" if none is given
	Licenses      []string // identifiers, names or SPDX expressions; all of them hold
}

// String names the package for people.
func (p Package) String() string {
	return strings.TrimSpace(p.Name + " " + p.Version)
}

// ParseSBOM reads a CycloneDX or SPDX document; which of them, it tells by itself.
func ParseSBOM(raw []byte) (*SBOM, error) {
	var peek struct {
		BOMFormat   string          `json:"bomFormat"`
		SPDXVersion string          `json:"spdxVersion"`
		Context     json.RawMessage `json:"@context"`
	}
	if err := decode(raw, MaxSBOM, &peek); err != nil {
		return nil, fmt.Errorf("reading the SBOM: %w", err)
	}
	switch {
	case peek.BOMFormat != "" && peek.SPDXVersion != "":
		return nil, fmt.Errorf("reading the SBOM: it says that it is CycloneDX, and that it is SPDX")
	case peek.BOMFormat != "":
		return parseCycloneDX(raw)
	case peek.SPDXVersion != "":
		return parseSPDX(raw)
	case isSPDX3(peek.Context):
		return parseSPDX3(raw)
	case len(peek.Context) > 0:
		return nil, fmt.Errorf("reading the SBOM: it is JSON-LD, and not with the context of SPDX 3.0 (%.120s): have it written as SPDX 3.0 or 2.3, or as CycloneDX", peek.Context)
	}
	return nil, fmt.Errorf("reading the SBOM: it is neither CycloneDX (no bomFormat) nor SPDX (no spdxVersion), both as JSON")
}

// decode reads JSON of others. Floats are let through: both formats have them in places that are not read here.
func decode(raw []byte, limit int, v any) error {
	return strictjson.Decode(raw, strictjson.Options{MaxBytes: limit, AllowFloat: true}, v)
}

type cycloneDX struct {
	BOMFormat   string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     *int64      `json:"version"`
	Components  []component `json:"components"`
}

type component struct {
	Type       string          `json:"type"`
	Group      string          `json:"group"`
	Name       string          `json:"name"`
	Version    string          `json:"version"`
	PURL       string          `json:"purl"`
	Licenses   []licenseChoice `json:"licenses"`
	Components []component     `json:"components"`
}

type licenseChoice struct {
	License *struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"license"`
	Expression string `json:"expression"`
}

var cycloneVersions = []string{"1.2", "1.3", "1.4", "1.5", "1.6", "1.7"}

func parseCycloneDX(raw []byte) (*SBOM, error) {
	var doc cycloneDX
	if err := decode(raw, MaxSBOM, &doc); err != nil {
		return nil, fmt.Errorf("reading the CycloneDX SBOM: %w", err)
	}
	switch {
	case doc.BOMFormat != "CycloneDX":
		return nil, fmt.Errorf("reading the CycloneDX SBOM: bomFormat %.40q is not \"CycloneDX\"", doc.BOMFormat)
	case !slices.Contains(cycloneVersions, doc.SpecVersion):
		return nil, fmt.Errorf("reading the CycloneDX SBOM: specVersion %.40q is not known here; known are %s", doc.SpecVersion, strings.Join(cycloneVersions, ", "))
	case doc.Version != nil && *doc.Version < 1:
		return nil, fmt.Errorf("reading the CycloneDX SBOM: version %d is not 1 or more", *doc.Version)
	}
	s := &SBOM{Type: TypeCycloneDX}
	if err := s.addComponents(doc.Components); err != nil {
		return nil, fmt.Errorf("reading the CycloneDX SBOM: %w", err)
	}
	return s, s.check()
}

func (s *SBOM) addComponents(list []component) error {
	for i, c := range list {
		if c.Name == "" || c.Type == "" {
			return fmt.Errorf("component %d has no name or no type", i+1)
		}
		p := Package{Name: c.Name, Version: c.Version, PURL: c.PURL}
		if c.Group != "" {
			p.Name = c.Group + "/" + c.Name
		}
		for _, l := range c.Licenses {
			name := l.Expression
			if l.License != nil {
				name = l.License.ID + l.License.Name
			}
			if name == "" || l.License != nil && (l.Expression != "" || l.License.ID != "" && l.License.Name != "") {
				return fmt.Errorf("component %.80q: a licence has an expression, an id or a name, and only one of them", p.Name)
			}
			p.Licenses = append(p.Licenses, name)
		}
		s.Packages = append(s.Packages, p)
		if err := s.addComponents(c.Components); err != nil {
			return err
		}
	}
	return nil
}

type spdxDocument struct {
	SPDXVersion string `json:"spdxVersion"`
	SPDXID      string `json:"SPDXID"`
	DataLicense string `json:"dataLicense"`
	Name        string `json:"name"`
	Namespace   string `json:"documentNamespace"`
	Packages    []struct {
		SPDXID    string `json:"SPDXID"`
		Name      string `json:"name"`
		Version   string `json:"versionInfo"`
		Concluded string `json:"licenseConcluded"`
		Declared  string `json:"licenseDeclared"`
		Refs      []struct {
			Type    string `json:"referenceType"`
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
}

var spdxID = regexp.MustCompile(`^SPDXRef-[0-9A-Za-z.+_-]+$`)

func parseSPDX(raw []byte) (*SBOM, error) {
	var doc spdxDocument
	if err := decode(raw, MaxSBOM, &doc); err != nil {
		return nil, fmt.Errorf("reading the SPDX SBOM: %w", err)
	}
	switch {
	case doc.SPDXVersion != "SPDX-2.2" && doc.SPDXVersion != "SPDX-2.3":
		return nil, fmt.Errorf("reading the SPDX SBOM: spdxVersion %.40q is not SPDX-2.2 or SPDX-2.3", doc.SPDXVersion)
	case doc.SPDXID != "SPDXRef-DOCUMENT":
		return nil, fmt.Errorf("reading the SPDX SBOM: SPDXID %.40q is not SPDXRef-DOCUMENT", doc.SPDXID)
	case doc.DataLicense != "CC0-1.0" || doc.Name == "" || doc.Namespace == "":
		return nil, fmt.Errorf("reading the SPDX SBOM: dataLicense must be CC0-1.0, and name and documentNamespace be there")
	}
	s := &SBOM{Type: TypeSPDX}
	seen := map[string]bool{}
	for i, p := range doc.Packages {
		if p.Name == "" || !spdxID.MatchString(p.SPDXID) {
			return nil, fmt.Errorf("reading the SPDX SBOM: package %d has no name, or an SPDXID that is none (%.80q)", i+1, p.SPDXID)
		}
		if seen[p.SPDXID] {
			return nil, fmt.Errorf("reading the SPDX SBOM: two packages have SPDXID %.80q", p.SPDXID)
		}
		seen[p.SPDXID] = true
		made := Package{Name: p.Name, Version: p.Version}
		for _, ref := range p.Refs {
			if ref.Type == "purl" {
				made.PURL = ref.Locator
			}
		}
		// What somebody has concluded counts more than what the author declared.
		for _, l := range []string{p.Concluded, p.Declared} {
			if l != "" && l != "NOASSERTION" && l != "NONE" {
				made.Licenses = []string{l}
				break
			}
		}
		s.Packages = append(s.Packages, made)
	}
	return s, s.check()
}

func (s *SBOM) check() error {
	if len(s.Packages) == 0 {
		return fmt.Errorf("reading the SBOM: it names no package: an empty list says nothing of the image")
	}
	if len(s.Packages) > maxPackages {
		return fmt.Errorf("reading the SBOM: %d packages, at most %d are taken", len(s.Packages), maxPackages)
	}
	for _, p := range s.Packages {
		if p.PURL != "" && !strings.HasPrefix(p.PURL, "pkg:") {
			return fmt.Errorf("reading the SBOM: package %.80q: %.80q is not a package URL", p.Name, p.PURL)
		}
	}
	return nil
}
