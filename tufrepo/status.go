package tufrepo

import (
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// Status is the state of a repository. Times are UTC.
type Status struct {
	Published bool            `json:"published"` // there is a timestamp
	Settled   bool            `json:"settled"`   // false: a publish was cut short; run it or renew again
	Roles     []RoleStatus    `json:"roles"`     // root, targets, snapshot, timestamp, then products
	Products  []ProductStatus `json:"products"`
	Keys      []Key           `json:"keys"` // online keys
	Files     FileStatus      `json:"files"`
	Log       *LogStatus      `json:"log,omitempty"` // nil without a log
	Issued    time.Time       `json:"issued"`        // when the timestamp was made
	RenewDue  time.Time       `json:"renew_due"`     // when it is to be made anew
}

// ProductStatus is one product, as targets delegates it.
type ProductStatus struct {
	Product   string    `json:"product"`
	Threshold int       `json:"threshold"` // signatures that a new version needs
	Keys      []string  `json:"keys"`      // ids of those who may sign
	Releases  []Release `json:"releases"`  // by rising counter
}

// FileStatus counts what is served.
type FileStatus struct {
	Blobs        int   `json:"blobs"`
	Bytes        int64 `json:"bytes"`        // of all files
	Unreferenced int   `json:"unreferenced"` // files that gc will remove in time
}

// Status reads the state. It takes no lock and changes nothing.
func (r *Repo) Status() (Status, error) {
	s := Status{Roles: []RoleStatus{}, Products: []ProductStatus{}}
	fsys, err := r.FS()
	if err != nil {
		return s, err
	}
	base, err := bundle.LoadOwn(fsys)
	if err != nil {
		return s, err
	}
	if s.Keys, err = r.Keys(); err != nil {
		return s, err
	}
	s.Published, s.Settled = base.Timestamp() != nil, base.Settled()
	if s.Published {
		s.Issued, s.RenewDue = issued(base.Timestamp().Meta), r.due(base)
		if err := s.addRoles(base, r.clock()); err != nil {
			return s, err
		}
	}
	if err := s.addProducts(base); err != nil {
		return s, err
	}
	if s.Log, err = r.logStatus(base); err != nil {
		return s, err
	}
	return s, r.addFiles(&s, base)
}

func (s *Status) addProducts(b *bundle.Base) error {
	for _, product := range b.Delegated() {
		e := bundle.ByTargets(b.Targets(), product)
		p := ProductStatus{Product: product, Threshold: e.Threshold, Keys: e.KeyIDs, Releases: []Release{}}
		if role := b.Role(product); role != nil {
			all, err := bundle.Releases(product, role)
			if err != nil {
				return fmt.Errorf("product %s: %w", product, err)
			}
			for _, entry := range all {
				p.Releases = append(p.Releases, releaseOf(entry))
			}
		}
		s.Products = append(s.Products, p)
	}
	return nil
}

func (r *Repo) addFiles(s *Status, b *bundle.Base) error {
	used, err := reachable(b)
	if err != nil {
		return err
	}
	return r.eachFile(func(name string, info fs.FileInfo) error {
		if _, ok := bundle.ParseBlobName(name); ok {
			s.Files.Blobs++
		}
		if !used[name] {
			s.Files.Unreferenced++
		}
		s.Files.Bytes += info.Size()
		return nil
	})
}

// Expiring lists the roles whose metadata expires before t, soonest first.
func (s Status) Expiring(t time.Time) []RoleStatus {
	soon := slices.DeleteFunc(slices.Clone(s.Roles), func(r RoleStatus) bool { return !r.Expires.Before(t) })
	slices.SortFunc(soon, func(a, b RoleStatus) int { return a.Expires.Compare(b.Expires) })
	return soon
}
