package attest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// spdx3 is SPDX 3.0 as JSON-LD: a list of elements that name each other by id.
type spdx3 struct {
	Context oneOrMore      `json:"@context"`
	Graph   []spdx3Element `json:"@graph"`
}

// spdx3Element has the members of all kinds of elements that are read.
type spdx3Element struct {
	Type        string    `json:"type"`
	ID          string    `json:"spdxId"`
	Name        string    `json:"name"`
	SpecVersion string    `json:"specVersion"` // of a CreationInfo
	Version     string    `json:"software_packageVersion"`
	PURL        string    `json:"software_packageUrl"`
	Expression  string    `json:"simplelicensing_licenseExpression"`
	Relation    string    `json:"relationshipType"`
	From        string    `json:"from"`
	To          oneOrMore `json:"to"`
	Identifiers []struct {
		Type       string `json:"externalIdentifierType"`
		Identifier string `json:"identifier"`
	} `json:"externalIdentifier"`
}

// oneOrMore is a text, or a list of texts, as JSON-LD has it.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(raw []byte) error {
	if strings.HasPrefix(string(raw), "[") {
		return json.Unmarshal(raw, (*[]string)(o))
	}
	*o = make([]string, 1)
	return json.Unmarshal(raw, &(*o)[0])
}

var (
	spdx3Context  = regexp.MustCompile(`^https://spdx\.org/rdf/3\.0(\.[0-9]+)?/spdx-context\.jsonld$`)
	spdx3Listed   = regexp.MustCompile(`^https?://spdx\.org/licenses/([A-Za-z0-9.+-]+)$`)
	spdx3Nothing  = regexp.MustCompile(`^(expandedlicensing_|https://spdx\.org/rdf/3\.0(\.[0-9]+)?/terms/(ExpandedLicensing|Licensing)/)(NoAssertion|None)(License)?$`)
	spdx3Packages = []string{"software_Package", "ai_AIPackage", "dataset_DatasetPackage"}
)

func parseSPDX3(raw []byte) (*SBOM, error) {
	var doc spdx3
	if err := decode(raw, MaxSBOM, &doc); err != nil {
		return nil, fmt.Errorf("reading the SPDX 3 SBOM: %w", err)
	}
	s, err := doc.sbom()
	if err != nil {
		return nil, fmt.Errorf("reading the SPDX 3 SBOM: %w", err)
	}
	return s, s.check()
}

// isSPDX3 tells whether the context of a JSON-LD document is that of SPDX 3.0.
func isSPDX3(context json.RawMessage) bool {
	var o oneOrMore
	return json.Unmarshal(context, &o) == nil && slices.ContainsFunc(o, spdx3Context.MatchString)
}

func (d *spdx3) sbom() (*SBOM, error) {
	elements := map[string]*spdx3Element{}
	version := ""
	for i := range d.Graph {
		e := &d.Graph[i]
		if e.Type == "CreationInfo" {
			version = cmp.Or(version, e.SpecVersion)
		}
		if e.ID == "" {
			continue
		}
		if elements[e.ID] != nil {
			return nil, fmt.Errorf("two elements have spdxId %.120q", e.ID)
		}
		elements[e.ID] = e
	}
	if version != "3.0" && !strings.HasPrefix(version, "3.0.") {
		return nil, fmt.Errorf("its CreationInfo has specVersion %.40q, and 3.0 is read here", version)
	}
	licenses, err := d.licenses(elements)
	if err != nil {
		return nil, err
	}
	s := &SBOM{Type: TypeSPDX}
	for _, e := range d.Graph {
		if !e.isPackage() {
			continue
		}
		if e.Name == "" || e.ID == "" {
			return nil, fmt.Errorf("package %d has no name or no spdxId", len(s.Packages)+1)
		}
		s.Packages = append(s.Packages, Package{Name: e.Name, Version: e.Version, PURL: e.purl(), Licenses: licenses[e.ID]})
	}
	return s, nil
}

func (e *spdx3Element) isPackage() bool { return slices.Contains(spdx3Packages, e.Type) }

func (e *spdx3Element) purl() string {
	for _, id := range e.Identifiers {
		if e.PURL == "" && id.Type == "packageUrl" {
			return id.Identifier
		}
	}
	return e.PURL
}

// licenses are those of each package. What somebody has concluded counts more than what the author declared.
func (d *spdx3) licenses(elements map[string]*spdx3Element) (map[string][]string, error) {
	found := map[string][]string{}
	for _, relation := range []string{"hasConcludedLicense", "hasDeclaredLicense"} {
		these := map[string][]string{}
		for _, e := range d.Graph {
			if from := elements[e.From]; e.Relation != relation || from == nil || !from.isPackage() || len(found[e.From]) > 0 {
				continue
			}
			for _, to := range e.To {
				name, err := licenseName(to, elements[to])
				if err != nil {
					return nil, fmt.Errorf("the licence of %.120q: %w", e.From, err)
				}
				if name != "" {
					these[e.From] = append(these[e.From], name)
				}
			}
		}
		for from, names := range these {
			found[from] = names
		}
	}
	return found, nil
}

// licenseName is the expression or the name of a licence; "" where nobody says anything of it. What is not understood is an error: a
// licence that nobody can read must not pass for one that nobody denies.
func licenseName(id string, e *spdx3Element) (string, error) {
	if m := spdx3Listed.FindStringSubmatch(id); m != nil {
		return m[1], nil
	}
	switch {
	case spdx3Nothing.MatchString(id):
		return "", nil
	case e == nil:
		return "", fmt.Errorf("%.120q is not in the document", id)
	case e.Type == "simplelicensing_LicenseExpression" && (e.Expression == "NOASSERTION" || e.Expression == "NONE"):
		return "", nil
	case e.Type == "simplelicensing_LicenseExpression" && e.Expression != "":
		return e.Expression, nil
	case e.Type == "simplelicensing_SimpleLicensingText" && e.Name != "":
		return e.Name, nil
	}
	return "", fmt.Errorf("element %.120q of type %.60q is not read here: have the licence written as simplelicensing_LicenseExpression", id, e.Type)
}
