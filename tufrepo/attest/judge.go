package attest

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
)

// Refusal is one reason why a release is not published.
type Refusal struct {
	What string // what is wrong
	Do   string // what the user can do
}

// maxShown is how many parts of one kind a refusal names: the rest is counted.
const maxShown = 10

// Judge says why a release may not be published, every reason at once; none means that it may. open opens a blob of
// the manifest; what it gives is compared with the blob's digest. The error is one of reading.
func (p *Policy) Judge(m *firmware.Manifest, open func(firmware.Blob) (io.ReadCloser, error)) ([]Refusal, error) {
	if len(p.Products) > 0 && !slices.Contains(p.Products, m.Product) {
		return nil, nil
	}
	if p.TrustedRoot != "" && p.keyless == nil {
		return nil, errors.New("the publish policy wants identities, and its trusted root was not loaded")
	}
	j := &judge{Policy: p, manifest: m}
	// What VEX documents clear has to be known before an SBOM is looked into.
	inOrder := slices.Clone(m.Attestations)
	slices.SortStableFunc(inOrder, func(a, b firmware.Attestation) int { return vexFirst(a) - vexFirst(b) })
	for _, a := range inOrder {
		if len(p.Predicates) > 0 && !slices.Contains(p.Predicates, a.Type) {
			j.refuse("release it without that attestation, or add the type to \"predicates\"", "attestation of type %s is not one that the policy allows", a.Type)
		}
		if err := j.attestation(a, open); err != nil {
			return nil, err
		}
	}
	j.missing()
	return j.refusals, nil
}

// judge is one release on its way through a policy.
type judge struct {
	*Policy
	manifest *firmware.Manifest
	vex      []*VEX
	refusals []Refusal
}

func vexFirst(a firmware.Attestation) int {
	if a.Type == TypeVEX {
		return 0
	}
	return 1
}

func (j *judge) refuse(do, format string, args ...any) {
	j.refusals = append(j.refusals, Refusal{fmt.Sprintf(format, args...), do})
}

const doRelease = "make the release again with one that is right"

func (j *judge) attestation(a firmware.Attestation, open func(firmware.Blob) (io.ReadCloser, error)) error {
	limit := j.limit(a.Type)
	if limit == 0 {
		return nil // of a type that nobody here reads
	}
	if a.Length > int64(limit) {
		j.refuse(doRelease, "attestation of type %s has %d bytes, at most %d are read", a.Type, a.Length, limit)
		return nil
	}
	raw, err := readBlob(a.Blob, open)
	if errors.Is(err, errAltered) {
		j.refuse(doRelease, "attestation of type %s: %v", a.Type, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("attestation of type %s: %w", a.Type, err)
	}
	want, wanted := j.wanted(a.Type)
	switch {
	case a.Type == TypeProvenance:
		return j.judgeProvenance(raw)
	case wanted, SBOMIn(a.Type) != "":
		j.judgeStatement(a.Type, raw, want.By)
	case a.Type == TypeVEX:
		j.readVEX(raw)
	default:
		j.judgeSBOM(a.Type, raw)
	}
	return nil
}

// Limit is the most bytes that an attestation of the type may have; 0 where none of that type is read here.
func Limit(kind string) int {
	switch kind {
	case TypeCycloneDX, TypeSPDX:
		return MaxSBOM
	case TypeProvenance:
		return MaxStatement
	case TypeVEX:
		return MaxVEX
	}
	if SBOMIn(kind) != "" {
		return MaxStatement
	}
	return 0
}

var errAltered = errors.New("its bytes are not those that the manifest pins")

func readBlob(b firmware.Blob, open func(firmware.Blob) (io.ReadCloser, error)) ([]byte, error) {
	r, err := open(b)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, b.Length+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) != b.Length || firmware.Sum(raw) != b.SHA256 {
		return nil, errAltered
	}
	return raw, nil
}

// missing refuses for what the policy requires and nobody has said.
func (j *judge) missing() {
	has := func(types ...string) bool {
		return slices.ContainsFunc(j.manifest.Attestations, func(a firmware.Attestation) bool {
			return slices.Contains(types, a.Type) || slices.Contains(types, SBOMIn(a.Type))
		})
	}
	for _, r := range j.Require {
		switch {
		case r == RequireSBOM && !has(TypeCycloneDX, TypeSPDX):
			j.refuse("release it with --sbom FILE or --sbom-from DIR", "it has no SBOM, which the policy requires")
		case r == RequireProvenance && !has(TypeProvenance):
			j.refuse("release it with --provenance FILE, as the build system has written it", "it has no provenance, which the policy requires")
		case r == RequireNotes && strings.TrimSpace(j.manifest.Notes) == "":
			j.refuse("release it with --notes FILE", "it has no release notes, which the policy requires")
		}
	}
	j.missingAttested()
}

func (j *judge) judgeProvenance(raw []byte) error {
	p, err := ParseProvenance(raw)
	if err != nil {
		j.refuse(doRelease, "%v", err)
		return nil
	}
	j.about("the provenance", &p.Statement)
	if len(j.BuildTypes) > 0 && !slices.Contains(j.BuildTypes, p.BuildType) {
		j.refuse("build it in a way that the policy allows, or add the type to \"build_types\"", "the provenance is of a build of type %.120s", p.BuildType)
	}
	return j.judgeBuilder(raw, p)
}

// judgeBuilder refuses unless the builder that the provenance names is one of the policy's, and has signed it.
func (j *judge) judgeBuilder(raw []byte, p *Provenance) error {
	var by []Identity
	known := false
	for _, b := range j.Builders {
		if b.ID != p.Builder {
			continue
		}
		if b.Identity != nil {
			by = append(by, *b.Identity)
			continue
		}
		known = true
		signed, err := p.SignedBy(b.public)
		if err != nil {
			return fmt.Errorf("builder %s: %w", b.ID, err)
		}
		if signed {
			return nil
		}
	}
	switch {
	case len(by) > 0 && (p.Bundle || !known):
		j.signedBy("the provenance", raw, &p.Statement, by)
	case known:
		j.refuse("have the build system sign it with the key that the policy names", "the provenance says that it is by %.120s, and is not signed by that builder's key", p.Builder)
	case len(j.Builders) > 0:
		j.refuse("build it on a system that the policy names, or add it to \"builders\" with its key or identity", "the provenance is by %.120s, which the policy does not name as a builder", p.Builder)
	}
	return nil
}

func (j *judge) judgeSBOM(kind string, raw []byte) {
	s, err := ParseSBOM(raw)
	if err != nil {
		j.refuse(doRelease, "%v", err)
		return
	}
	if s.Type != kind {
		j.refuse(doRelease, "the SBOM is entered as %s and is %s", kind, s.Type)
	}
	j.parts("is under a licence that the policy denies", "replace these parts, or have the policy changed", s, func(p Package) string {
		for _, l := range p.Licenses {
			if denied(l, j.deniedLicense) {
				return l
			}
		}
		return ""
	})
	if j.Licenses.Named {
		j.parts("names no licence, which the policy requires", "have the SBOM name one for each part", s, func(p Package) string {
			if len(p.Licenses) == 0 {
				return "none"
			}
			return ""
		})
	}
	for _, a := range j.Deny {
		j.parts("is stopped by an advisory", j.doAdvisory(a), s, func(p Package) string {
			if j.cleared(a, p) {
				return ""
			}
			return a.stops(p)
		})
	}
}

func (j *judge) readVEX(raw []byte) {
	v, err := ParseVEX(raw)
	if err != nil {
		j.refuse(doRelease, "%v", err)
		return
	}
	j.vex = append(j.vex, v)
}

// cleared tells whether a document of the release says that the advisory's vulnerability does no harm in the part.
func (j *judge) cleared(a Advisory, p Package) bool {
	return j.VEX && a.ID != "" && slices.ContainsFunc(j.vex, func(v *VEX) bool { return v.clears(a.ID, j.manifest, p) })
}

func (j *judge) doAdvisory(a Advisory) string {
	if j.VEX && a.ID != "" {
		return fmt.Sprintf("update these parts, or attach with --vex why %.80s does no harm there, or have the policy changed", a.ID)
	}
	return "update these parts, or have the policy changed"
}

// parts refuses, in one refusal, for all parts of which fault says something.
func (j *judge) parts(what, do string, s *SBOM, fault func(Package) string) {
	var found []string
	for _, p := range s.Packages {
		if why := fault(p); why != "" {
			found = append(found, fmt.Sprintf("%.80s (%.120s)", p, why))
		}
	}
	if len(found) == 0 {
		return
	}
	shown := strings.Join(found[:min(len(found), maxShown)], ", ")
	if more := len(found) - maxShown; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	j.refuse(do, "the SBOM has what %s: %s", what, shown)
}

func (j *judge) deniedLicense(id string) bool {
	return slices.ContainsFunc(j.Licenses.Deny, func(d string) bool {
		if prefix, ok := strings.CutSuffix(d, "*"); ok {
			return len(id) >= len(prefix) && strings.EqualFold(id[:len(prefix)], prefix)
		}
		return strings.EqualFold(id, d)
	})
}

// stops says why the advisory stops a part, "" if it does not.
func (a Advisory) stops(p Package) string {
	base, version := cutPURL(p.PURL)
	if base != a.PURL {
		return ""
	}
	if version == "" {
		version = p.Version
	}
	if len(a.Versions) > 0 && !slices.Contains(a.Versions, version) {
		return ""
	}
	return a.Why
}

// cutPURL takes the version out of a package URL, and drops qualifiers and subpath.
func cutPURL(purl string) (base, version string) {
	base, _, _ = strings.Cut(purl, "#")
	base, _, _ = strings.Cut(base, "?")
	i := strings.LastIndexByte(base, '@')
	if i < 0 {
		return base, ""
	}
	version, err := url.PathUnescape(base[i+1:])
	if err != nil {
		version = base[i+1:]
	}
	return base[:i], version
}
