package signer

import (
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
)

// AttestationInfo is what an attestation says.
type AttestationInfo struct {
	Type     string            `json:"type"`
	Subjects []firmware.Digest `json:"subjects"` // SHA-256; zero where another digest is given
	Bundle   bool              `json:"bundle"`   // it is a Sigstore bundle
	// Claimed is whom the bundle's certificate names, which nobody has proved.
	Claimed *attest.Identity `json:"claimed,omitempty"`
}

// maxSubjects is how many subjects are shown.
const maxSubjects = 10

func (in *Inspection) attestation(data []byte) error {
	a, err := attest.Parse(data)
	if err != nil {
		return refuse("%s: %w", in.Path, err)
	}
	info := AttestationInfo{Type: a.Type, Bundle: a.Bundle}
	in.say("of type %s", a.Type)
	for i, s := range a.Subjects {
		info.Subjects = append(info.Subjects, s.SHA256)
		if i < maxSubjects {
			in.say("about %q, SHA-256 %v", s.Name, s.SHA256)
		}
	}
	if more := len(a.Subjects) - maxSubjects; more > 0 {
		in.say("and about %d more", more)
	}
	if claim, ok := attest.Claimed(data); ok {
		info.Claimed = &claim
		in.say("a Sigstore bundle; its certificate, not verified here, says that it was signed by %q, logged in at %q", claim.SAN, claim.Issuer)
	} else if a.Bundle {
		in.say("a Sigstore bundle without a certificate: signed with a plain key")
	} else {
		in.say("signed with a plain key, not verified here")
	}
	in.Content = info
	return nil
}
