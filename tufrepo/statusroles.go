package tufrepo

import (
	"regexp"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// RoleStatus is one role's newest metadata, and who vouches for it.
type RoleStatus struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	// Days are whole ones until the expiry; negative once it has expired.
	Days int `json:"days"`
	// Threshold is how many of the role's keys must sign; Signed and Missing are those that have, and have not.
	Threshold int         `json:"threshold"`
	Signed    []KeyHolder `json:"signed"`
	Missing   []KeyHolder `json:"missing"`
}

// KeyHolder is a key and the label that was given to it when it was added, if any.
type KeyHolder struct {
	ID    string `json:"id"`
	Owner string `json:"owner,omitempty"`
}

// String is the label, or the beginning of the id.
func (k KeyHolder) String() string {
	if k.Owner != "" {
		return k.Owner
	}
	return k.ID[:min(12, len(k.ID))]
}

// ownersMember is the member of root and targets with the labels of keys.
const ownersMember = "x-fairlead-owners"

var ownerForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._@+-]{0,63}$`)

// holders puts labels to key ids. A label that is no plain name is left out: it is shown on terminals.
func holders(ids []string, members map[string]any) []KeyHolder {
	labels, _ := members[ownersMember].(map[string]any)
	all := []KeyHolder{}
	for _, id := range ids {
		k := KeyHolder{ID: id}
		if label, _ := labels[id].(string); ownerForm.MatchString(label) {
			k.Owner = label
		}
		all = append(all, k)
	}
	return all
}

// roleStatus counts the signatures of a role by whoever says who may sign it.
func roleStatus[T metadata.Roles](now time.Time, role string, version int64, expires time.Time, m *metadata.Metadata[T], by bundle.Entitled, labels map[string]any) (RoleStatus, error) {
	s, err := bundle.Count(role, by, m)
	return RoleStatus{
		Role: role, Version: version, Expires: expires, Days: wholeDays(expires.Sub(now)),
		Threshold: s.Need, Signed: holders(s.Good, labels), Missing: holders(append(s.Missing, s.Wrong...), labels),
	}, err
}

// wholeDays rounds down, so that what has expired never has 0 days.
func wholeDays(d time.Duration) int {
	days := int(d / (24 * time.Hour))
	if d < 0 && d%(24*time.Hour) != 0 {
		days--
	}
	return days
}

func (s *Status) addRoles(b *bundle.Base, now time.Time) error {
	root, targets := b.Root(), b.Targets()
	of := root.Signed.UnrecognizedFields
	add := func(r RoleStatus, err error) error {
		s.Roles = append(s.Roles, r)
		return err
	}
	by := func(role string) bundle.Entitled { return bundle.ByRoot(root, role) }
	snapshot, timestamp := b.Snapshot(), b.Timestamp()
	if err := add(roleStatus(now, metadata.ROOT, root.Signed.Version, root.Signed.Expires, root, by(metadata.ROOT), of)); err != nil {
		return err
	}
	if err := add(roleStatus(now, metadata.TARGETS, targets.Signed.Version, targets.Signed.Expires, targets, by(metadata.TARGETS), of)); err != nil {
		return err
	}
	if err := add(roleStatus(now, metadata.SNAPSHOT, snapshot.Version, snapshot.Meta.Signed.Expires, snapshot.Meta, by(metadata.SNAPSHOT), of)); err != nil {
		return err
	}
	if err := add(roleStatus(now, metadata.TIMESTAMP, timestamp.Version, timestamp.Meta.Signed.Expires, timestamp.Meta, by(metadata.TIMESTAMP), of)); err != nil {
		return err
	}
	for _, product := range b.Products() {
		role, by := b.Role(product).Signed, bundle.ByTargets(targets, product)
		if err := add(roleStatus(now, product, role.Version, role.Expires, b.Role(product), by, targets.Signed.UnrecognizedFields)); err != nil {
			return err
		}
	}
	return nil
}
