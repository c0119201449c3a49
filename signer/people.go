package signer

import (
	"cmp"
	"crypto"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// ownersMember is the member of signed that maps key ids to labels.
const ownersMember = "x-fairlead-owners"

// Person is a key as people know it. Only the id counts; the owner is a label.
type Person struct {
	Owner string `json:"owner,omitempty"` // name of the public key's file when it was added; "" if not known
	ID    string `json:"id"`              // TUF key id, 64 hex digits
}

// String is the owner with the beginning of the id, or the beginning of the id alone.
func (p Person) String() string {
	short := p.ID
	if len(short) > 12 {
		short = short[:12]
	}
	if p.Owner == "" {
		return short
	}
	return p.Owner + " (" + short + ")"
}

// Public is a public key that is to fill a role.
type Public struct {
	Person
	Key *metadata.Key
}

// LoadPublic reads a public key file (PEM). The file's name without ".pub" becomes the owner.
func LoadPublic(path string) (Public, error) {
	pub, err := keyfile.LoadPublic(path)
	if err != nil {
		return Public{}, err
	}
	return NewPublic(path, pub)
}

// NewPublic is for a key that was not read from a file; name becomes the owner, if it can be a label.
func NewPublic(name string, pub crypto.PublicKey) (Public, error) {
	key, err := keyfile.TUFKey(pub)
	if err != nil {
		return Public{}, fmt.Errorf("public key %s: %w", name, err)
	}
	id, err := key.ID()
	if err != nil {
		return Public{}, fmt.Errorf("public key %s: %w", name, err)
	}
	return Public{Person{ownerOf(name), id}, key}, nil
}

// Keys are the keys of one role and how many of them must sign.
type Keys struct {
	Keys      []Public
	Threshold int
}

// check refuses what nobody could ever satisfy, and what looks like two people and is one.
func (k Keys) check(role string) error {
	seen := map[string]string{}
	for _, p := range k.Keys {
		if _, twice := seen[p.ID]; twice {
			return refuse("key %s is given twice for %s; a key counts once", p.Person, role)
		}
		seen[p.ID] = p.Owner
	}
	return checkThreshold(role, k.Threshold, len(k.Keys))
}

func checkThreshold(role string, threshold, keys int) error {
	switch {
	case keys == 0:
		return refuse("no key for %s; name at least one", role)
	case threshold < 1:
		return refuse("threshold %d for %s: at least 1 signature must be asked for", threshold, role)
	case threshold > keys:
		return refuse("threshold %d for %s can never be met: it has %d key(s); add keys or lower the threshold", threshold, role, keys)
	}
	return nil
}

var ownerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$`)

func ownerOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".pub")
	if !ownerPattern.MatchString(name) {
		return ""
	}
	return name
}

// owners reads the labels in a signed part's further members. Whatever is not a plain label is left out:
// it would be shown on a terminal.
func owners(members map[string]any) map[string]string {
	labels := map[string]string{}
	given, _ := members[ownersMember].(map[string]any)
	for id, v := range given {
		if name, ok := v.(string); ok && ownerPattern.MatchString(name) {
			labels[id] = name
		}
	}
	return labels
}

// setOwners writes the labels of the keys that are in use, and only those.
func setOwners(members map[string]any, labels map[string]string, used map[string]*metadata.Key) {
	out := map[string]any{}
	for id, name := range labels {
		if used[id] != nil && name != "" {
			out[id] = name
		}
	}
	if len(out) == 0 {
		delete(members, ownersMember)
		return
	}
	members[ownersMember] = out
}

// people are the holders of ids, those with a label first, in a stable order.
func people(ids []string, labels map[string]string) []Person {
	out := make([]Person, 0, len(ids))
	for _, id := range ids {
		out = append(out, Person{labels[id], id})
	}
	slices.SortFunc(out, comparePeople)
	return out
}

// comparePeople orders those with a label first.
func comparePeople(a, b Person) int {
	if (a.Owner == "") != (b.Owner == "") {
		return strings.Compare(b.Owner, a.Owner)
	}
	return cmp.Or(strings.Compare(a.Owner, b.Owner), strings.Compare(a.ID, b.ID))
}

// names joins people for a sentence.
func names(ps []Person) string {
	parts := make([]string, len(ps))
	for i, p := range ps {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}

// findKey looks among ids for what a person wrote: a public key file, a label, or the beginning of an id.
func findKey(given string, ids []string, labels map[string]string) (string, error) {
	if _, err := os.Stat(given); err == nil {
		p, err := LoadPublic(given)
		if err != nil {
			return "", err
		}
		given = p.ID
	}
	var found []string
	for _, id := range ids {
		if labels[id] == given || len(given) >= 8 && strings.HasPrefix(id, given) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", refuse("key %q does not hold this role; its keys are %s", given, names(people(ids, labels)))
	}
	return "", refuse("%q fits more than one key (%s); give more of the id", given, names(people(found, labels)))
}
