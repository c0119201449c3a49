package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Signatures says who has signed a role, against who may. Lists hold key ids.
type Signatures struct {
	Role    string   `json:"role"`              // the role that was signed
	By      string   `json:"by"`                // whose word it is who may sign it, such as "root 3"
	Need    int      `json:"need"`              // distinct keys needed
	Good    []string `json:"good"`              // entitled, signed, and the signature verifies
	Missing []string `json:"missing"`           // entitled and not signed
	Wrong   []string `json:"wrong,omitempty"`   // entitled, and the signature does not verify
	Foreign []string `json:"foreign,omitempty"` // signed and not entitled
}

// Enough tells whether the threshold is met by keys whose signatures verify.
func (s Signatures) Enough() bool { return s.Need > 0 && len(s.Good) >= s.Need }

// String is one line for people.
func (s Signatures) String() string {
	line := fmt.Sprintf("signed by %d of %d needed keys (as %s says)", len(s.Good), s.Need, s.By)
	if len(s.Wrong) > 0 {
		line += fmt.Sprintf("; the signature of %s does not verify", short(s.Wrong))
	}
	if !s.Enough() && len(s.Missing) > 0 {
		line += fmt.Sprintf("; not signed by %s", short(s.Missing))
	}
	return line
}

func short(ids []string) string {
	cut := make([]string, len(ids))
	for i, id := range ids {
		cut[i] = fmt.Sprintf("%.12s", id)
	}
	return strings.Join(cut, ", ")
}

// Entitled is who may sign a role.
type Entitled struct {
	By        string
	Keys      map[string]*metadata.Key
	KeyIDs    []string
	Threshold int
}

// ByRoot is who may sign the top-level role, as root says.
func ByRoot(root *metadata.Metadata[metadata.RootType], role string) Entitled {
	e := Entitled{By: fmt.Sprintf("root %d", root.Signed.Version), Keys: root.Signed.Keys}
	if r := root.Signed.Roles[role]; r != nil {
		e.KeyIDs, e.Threshold = r.KeyIDs, r.Threshold
	}
	return e
}

// ByTargets is who may sign a product's role, as targets says.
func ByTargets(targets *metadata.Metadata[metadata.TargetsType], product string) Entitled {
	e := Entitled{By: fmt.Sprintf("targets %d", targets.Signed.Version)}
	if targets.Signed.Delegations == nil {
		return e
	}
	e.Keys = targets.Signed.Delegations.Keys
	for _, r := range targets.Signed.Delegations.Roles {
		if r.Name == product {
			e.KeyIDs, e.Threshold = r.KeyIDs, r.Threshold
			break
		}
	}
	return e
}

// Count verifies every signature of m by itself. Of top-level roles it is for
// telling people who has signed, and whether one is accepted is go-tuf's verdict.
// Of a product's file it is the verdict; the device's client has its own when it
// tries the result of a publish.
func Count[T metadata.Roles](role string, e Entitled, m *metadata.Metadata[T]) (Signatures, error) {
	payload, err := canonical(m)
	if err != nil {
		return Signatures{}, err
	}
	return count(role, e, m.Signatures, payload), nil
}

func count(role string, e Entitled, by []metadata.Signature, payload []byte) Signatures {
	s := Signatures{Role: role, By: e.By, Need: e.Threshold, Good: []string{}, Missing: []string{}}
	signed := map[string][]byte{}
	for _, sig := range by {
		signed[sig.KeyID] = sig.Signature
		if !slices.Contains(e.KeyIDs, sig.KeyID) {
			s.Foreign = append(s.Foreign, sig.KeyID)
		}
	}
	for _, id := range e.KeyIDs {
		sig, ok := signed[id]
		switch {
		case !ok:
			s.Missing = append(s.Missing, id)
		case keyfile.Verify(id, e.Keys[id], payload, sig) != nil:
			s.Wrong = append(s.Wrong, id)
		default:
			s.Good = append(s.Good, id)
		}
	}
	return s
}
