package service

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/director"
)

// releases resolves releases from the repository folder, verifying everything from its
// first root on.
type releases struct{ repo *tufrepo.Repo }

func (r releases) Release(_ context.Context, product, version string) (director.Release, error) {
	notPublished := &director.Error{Code: wire.CodeNotFound, Message: fmt.Sprintf("release %s/%s is not published here", product, version)}
	if firmware.CheckProduct(product) != nil || firmware.CheckVersion(version) != nil {
		return director.Release{}, notPublished
	}
	fsys, err := r.repo.FS()
	if err != nil {
		return director.Release{}, err
	}
	base, err := bundle.LoadBase(fsys, nil)
	if err != nil {
		return director.Release{}, err
	}
	role := base.Role(product)
	if role == nil {
		return director.Release{}, notPublished
	}
	entries, err := bundle.Releases(product, role)
	if err != nil {
		return director.Release{}, err
	}
	for _, e := range entries {
		if e.Version == version {
			m, err := base.Manifest(e.Path)
			return director.Release{Manifest: m,
				Target: direction.Target{Path: e.Path, Length: e.Length, SHA256: e.SHA256, Counter: e.Counter}}, err
		}
	}
	return director.Release{}, notPublished
}

// timestamp reads when the repository's timestamp was issued and when it expires.
func timestamp(repo *tufrepo.Repo) (issued, expires time.Time, err error) {
	fsys, err := repo.FS()
	if err != nil {
		return issued, expires, err
	}
	raw, err := fs.ReadFile(fsys, bundle.TimestampName)
	if err != nil {
		return issued, expires, err
	}
	m, err := bundle.Parse[metadata.TimestampType](raw)
	if err != nil {
		return issued, expires, err
	}
	text, _ := m.Signed.UnrecognizedFields["x-fairlead-issued"].(string)
	issued, err = time.Parse(time.RFC3339, text)
	return issued, m.Signed.Expires, err
}
