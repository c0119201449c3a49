package attest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware"
)

// TypeVEX is the type of an OpenVEX document, as it stands in a manifest.
const TypeVEX = "https://openvex.dev/ns/v0.2.0"

const (
	// MaxVEX is the longest OpenVEX document, in bytes.
	MaxVEX        = 4 << 20
	maxStatements = 10_000
)

// VEX says which vulnerabilities concern a release, and which do not.
type VEX struct {
	Author     string
	statements []vexStatement // the last word comes last
}

type vexDocument struct {
	Context    string         `json:"@context"`
	ID         string         `json:"@id"`
	Author     string         `json:"author"`
	Timestamp  time.Time      `json:"timestamp"`
	Version    int64          `json:"version"`
	Statements []vexStatement `json:"statements"`
}

type vexStatement struct {
	Vulnerability struct {
		Name    string   `json:"name"`
		Aliases []string `json:"aliases"`
	} `json:"vulnerability"`
	Timestamp     time.Time    `json:"timestamp"`
	Products      []vexProduct `json:"products"`
	Status        string       `json:"status"`
	Justification string       `json:"justification"`
	Impact        string       `json:"impact_statement"`
	Action        string       `json:"action_statement"`
}

// vexProduct is a product, or a part of one.
type vexProduct struct {
	ID          string `json:"@id"`
	Identifiers struct {
		PURL string `json:"purl"`
	} `json:"identifiers"`
	Hashes        map[string]string `json:"hashes"`
	Subcomponents []vexProduct      `json:"subcomponents"`
}

var (
	vexStatuses       = []string{"not_affected", "affected", "fixed", "under_investigation"}
	vexJustifications = []string{"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
		"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist"}
)

// ParseVEX reads an OpenVEX document of version 0.2.0.
func ParseVEX(raw []byte) (*VEX, error) {
	var doc vexDocument
	if err := decode(raw, MaxVEX, &doc); err != nil {
		return nil, fmt.Errorf("reading the OpenVEX document: %w", err)
	}
	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("reading the OpenVEX document: %w", err)
	}
	v := &VEX{Author: doc.Author, statements: doc.Statements}
	for i := range v.statements {
		s := &v.statements[i]
		if s.Timestamp.IsZero() {
			s.Timestamp = doc.Timestamp
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("reading the OpenVEX document: statement %d: %w", i+1, err)
		}
	}
	slices.SortStableFunc(v.statements, func(a, b vexStatement) int { return a.Timestamp.Compare(b.Timestamp) })
	return v, nil
}

func (d vexDocument) check() error {
	switch {
	case d.Context != TypeVEX:
		return fmt.Errorf("@context %.80q is not %s", d.Context, TypeVEX)
	case d.ID == "" || d.Author == "" || d.Version < 1 || d.Timestamp.IsZero():
		return fmt.Errorf("@id, author, timestamp and a version from 1 on must be there")
	case len(d.Statements) == 0:
		return fmt.Errorf("it states nothing")
	case len(d.Statements) > maxStatements:
		return fmt.Errorf("%d statements, at most %d are taken", len(d.Statements), maxStatements)
	}
	return nil
}

func (s vexStatement) check() error {
	switch {
	case s.Vulnerability.Name == "":
		return fmt.Errorf("it names no vulnerability")
	case len(s.Products) == 0:
		return fmt.Errorf("%.80s: it names no product", s.Vulnerability.Name)
	case !slices.Contains(vexStatuses, s.Status):
		return fmt.Errorf("%.80s: status %.40q is none of %s", s.Vulnerability.Name, s.Status, strings.Join(vexStatuses, ", "))
	case s.Status == "not_affected" && s.Justification == "" && s.Impact == "":
		return fmt.Errorf("%.80s: not_affected wants a justification or an impact_statement", s.Vulnerability.Name)
	case s.Justification != "" && !slices.Contains(vexJustifications, s.Justification):
		return fmt.Errorf("%.80s: justification %.60q is not one of OpenVEX's", s.Vulnerability.Name, s.Justification)
	case s.Status == "affected" && s.Action == "":
		return fmt.Errorf("%.80s: affected wants an action_statement", s.Vulnerability.Name)
	}
	return nil
}

// clears tells whether the last word about a vulnerability in a part of the release is that it does no harm there.
func (v *VEX) clears(vulnerability string, m *firmware.Manifest, p Package) bool {
	status := ""
	for _, s := range v.statements {
		if (s.Vulnerability.Name == vulnerability || slices.Contains(s.Vulnerability.Aliases, vulnerability)) && s.about(m, p) {
			status = s.Status
		}
	}
	return status == "not_affected" || status == "fixed"
}

// about tells whether a statement is about the part: named itself, or as a part of this release, or with all of it.
func (s vexStatement) about(m *firmware.Manifest, p Package) bool {
	return slices.ContainsFunc(s.Products, func(product vexProduct) bool {
		if product.is(p) {
			return true
		}
		if !product.isRelease(m) {
			return false
		}
		return len(product.Subcomponents) == 0 || slices.ContainsFunc(product.Subcomponents, func(c vexProduct) bool { return c.is(p) })
	})
}

func (x vexProduct) purl() string { return cmp.Or(x.Identifiers.PURL, x.ID) }

// is tells whether x names the part: the same package URL, and the same version where x gives one.
func (x vexProduct) is(p Package) bool {
	base, version := cutPURL(x.purl())
	has, hasVersion := cutPURL(p.PURL)
	return strings.HasPrefix(base, "pkg:") && base == has && (version == "" || version == cmp.Or(hasVersion, p.Version))
}

// isRelease tells whether x is the release: by the image's SHA-256, or as pkg:generic/PRODUCT@VERSION.
func (x vexProduct) isRelease(m *firmware.Manifest) bool {
	if sum := cmp.Or(x.Hashes["sha-256"], x.Hashes["sha256"]); sum != "" {
		return strings.EqualFold(sum, m.Image.SHA256.String())
	}
	base, version := cutPURL(x.purl())
	return base == "pkg:generic/"+m.Product && version == m.Version
}
