package tufrepo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// gate asks the publish policy about every new release of a bundle. The error is bundle.Problems with all that the
// policy says, or one of reading.
func (r *Repo) gate(policy *attest.Policy, b *bundle.Bundle, plan *bundle.Plan) error {
	if policy == nil {
		return nil
	}
	open := func(blob firmware.Blob) (io.ReadCloser, error) {
		f, err := b.Blob(blob.SHA256)
		if errors.Is(err, fs.ErrNotExist) { // the repository has it
			fsys, err := r.FS()
			if err != nil {
				return nil, err
			}
			return fsys.Open(bundle.BlobName(blob.SHA256))
		}
		return f, err
	}
	var problems bundle.Problems
	for i, e := range plan.Releases {
		m, err := firmware.ParseManifest(plan.Manifests[i].Data)
		if err != nil {
			return fmt.Errorf("release %s: %w", e.Path, err)
		}
		refusals, err := policy.Judge(m, open)
		if err != nil {
			return fmt.Errorf("asking the publish policy about %s: %w", e.Path, err)
		}
		for _, no := range refusals {
			problems = append(problems, &bundle.Problem{
				Kind: bundle.Refused, Role: e.Product, File: plan.Manifests[i].From, What: no.What, Do: no.Do,
			})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}
