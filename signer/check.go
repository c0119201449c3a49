package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// faults are the reasons for which a device or the repository would refuse a bundle, missing signatures included.
// strict also counts blobs that did not travel with it.
func (f *folder) faults(now time.Time, strict bool) (bundle.Problems, error) {
	b, err := bundle.Open(f.dir)
	if err != nil {
		return nil, err
	}
	b.Clock = func() time.Time { return now }
	_, err = b.Check(f.base.Base)
	problems, ok := bundle.AsProblems(err)
	if err != nil && !ok {
		return nil, fmt.Errorf("checking bundle %s: %w", f.dir, err)
	}
	return slices.DeleteFunc(slices.Clone(problems), func(p *bundle.Problem) bool {
		return f.director(p) || !strict && f.stayedHome(p)
	}), nil
}

// director reports a problem that is none for a director's root: it has no targets file in the bundle, because
// each of its directions is one.
func (f *folder) director(p *bundle.Problem) bool {
	return p.Role == metadata.TARGETS && p.File == "" && f.newestTargets() == nil
}

// stayedHome reports a blob that the bundle was sent without.
func (f *folder) stayedHome(p *bundle.Problem) bool {
	if !strings.HasPrefix(p.File, "blobs/") {
		return false
	}
	_, err := os.Lstat(filepath.Join(f.dir, filepath.FromSlash(p.File)))
	return errors.Is(err, fs.ErrNotExist)
}

// wrong are the problems that more signatures do not mend.
func wrong(problems bundle.Problems) bundle.Problems {
	return slices.DeleteFunc(slices.Clone(problems), func(p *bundle.Problem) bool { return p.Kind == bundle.Unsigned })
}

// CheckBundle judges a bundle as the repository will, for a device. nil: it can be published. ErrUnsigned: it only
// waits for signatures. ErrRefused: it must be made anew. The base is as for ReadView.
func CheckBundle(dir, repo, root string, now time.Time) error {
	base, err := baseOf(dir, repo, root)
	if err != nil {
		return err
	}
	f, err := readFolder(dir, base)
	if err != nil {
		return err
	}
	problems, err := f.faults(now, true)
	if err != nil {
		return err
	}
	if bad := wrong(problems); len(bad) > 0 {
		return refuse("bundle %s cannot be published:\n%w", dir, bad)
	}
	if len(problems) > 0 {
		return f.unsigned()
	}
	return nil
}

// unsigned says who has to sign what.
func (f *folder) unsigned() error {
	v, err := f.view()
	if err != nil {
		return err
	}
	var lines []string
	for _, file := range v.Files {
		for _, r := range file.Rules {
			if !r.Met() {
				lines = append(lines, printable(fmt.Sprintf("  %s: %d of %d, as %s says; still to sign: %s",
					file.Name, len(r.Signed), r.Threshold, r.By, names(r.Open))))
			}
		}
	}
	return fmt.Errorf("bundle %s: %w\n%s", f.dir, ErrUnsigned, strings.Join(lines, "\n"))
}
