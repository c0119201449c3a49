package attest

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// Provenance says who built what, and how.
type Provenance struct {
	Statement
	Builder   string // URI of the build system
	BuildType string // URI of the kind of build
}

type wireProvenance struct {
	BuildDefinition struct {
		BuildType          string         `json:"buildType"`
		ExternalParameters map[string]any `json:"externalParameters"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

// ParseProvenance reads a DSSE envelope, bare or in a Sigstore bundle, with SLSA provenance v1. Its signatures are not verified.
func ParseProvenance(raw []byte) (*Provenance, error) {
	s, err := ParseStatement(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	p := &Provenance{Statement: *s}
	if err := p.parsePredicate(); err != nil {
		return nil, fmt.Errorf("reading the provenance: %w", err)
	}
	return p, nil
}

func (p *Provenance) parsePredicate() error {
	if p.Predicate != TypeProvenance {
		return fmt.Errorf("the statement has predicateType %.80q instead of %q", p.Predicate, TypeProvenance)
	}
	var wire wireProvenance
	if len(p.predicate) > 0 {
		if err := json.Unmarshal(p.predicate, &wire); err != nil { // strictjson has seen it with the statement
			return fmt.Errorf("the predicate: %w", err)
		}
	}
	if wire.BuildDefinition.ExternalParameters == nil {
		return fmt.Errorf("the statement has no buildDefinition.externalParameters")
	}
	p.BuildType, p.Builder = wire.BuildDefinition.BuildType, wire.RunDetails.Builder.ID
	for _, uri := range []struct{ member, value string }{{"buildDefinition.buildType", p.BuildType}, {"runDetails.builder.id", p.Builder}} {
		if u, err := url.Parse(uri.value); err != nil || u.Scheme == "" {
			return fmt.Errorf("%s %.80q is not a URI", uri.member, uri.value)
		}
	}
	return nil
}
