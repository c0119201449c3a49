package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// root verifies a root by its own keys, and by those of the trusted root where there is one.
func (v *verifier) root(data []byte) error {
	path := v.VerifyOptions.Path
	root, err := parse[metadata.RootType](path, data)
	if err != nil {
		return err
	}
	rules := []word{wordOfRoot(root, metadata.ROOT)}
	trusted, err := v.trustedRoot()
	switch {
	case errors.Is(err, ErrAnchor):
		v.cannot("that this root is the genuine one: compare it, or its successor, with a root you trust: --root")
	case err != nil:
		return err
	case root.Signed.Version == trusted.Signed.Version+1:
		rules = append(rules, wordOfRoot(trusted, metadata.ROOT))
	case root.Signed.Version == trusted.Signed.Version:
		if same, err := sameSigned(root, trusted); err != nil || !same {
			return errors.Join(err, refuse("%s is another root %d than the one you trust", path, root.Signed.Version))
		}
		v.prove("it is the root that you trust")
	default:
		return refuse("%s is root %d; by root %d only root %d can be verified", path, root.Signed.Version, trusted.Signed.Version, trusted.Signed.Version+1)
	}
	if err := verifySigned(v, metadata.ROOT, root, owners(root.Signed.UnrecognizedFields), rules...); err != nil {
		return err
	}
	return v.fresh(metadata.ROOT, root.Signed.Expires)
}

// targets verifies a targets file by the root, or a product's file by the targets file.
func (v *verifier) targets(data []byte) error {
	path := v.VerifyOptions.Path
	m, err := parse[metadata.TargetsType](path, data)
	if err != nil {
		return err
	}
	labels := owners(m.Signed.UnrecognizedFields)
	if v.Kind == KindTargets {
		root, err := v.trustedRoot()
		if err != nil {
			return err
		}
		if err := verifySigned(v, metadata.TARGETS, m, labels, wordOfRoot(root, metadata.TARGETS)); err != nil {
			return err
		}
		return v.fresh(metadata.TARGETS, m.Signed.Expires)
	}
	product, err := productOf(path, m)
	if err != nil {
		return err
	}
	if v.base == nil || v.base.Targets() == nil {
		return fmt.Errorf("%s is verified by the repository's targets file: %w", product, ErrAnchor)
	}
	if delegation(v.base.Targets(), product) == nil {
		return unknownProduct(&v.base.Targets().Signed, product)
	}
	if _, err := bundle.Releases(product, m); err != nil {
		return refuse("%s: %w", path, err)
	}
	if err := verifySigned(v, product, m, labels, wordOfTargets(v.base.Targets(), product)); err != nil {
		return err
	}
	return v.fresh(product, m.Signed.Expires)
}

// productOf is the product of a product's file, by its releases or by its name.
func productOf(path string, m *targetsMeta) (string, error) {
	for target := range m.Signed.Targets {
		product, _, err := firmware.ParseTargetPath(target)
		if err != nil {
			return "", refuse("%s: %w", path, err)
		}
		return product, nil
	}
	_, role, ok := bundle.ParseMetadataName("metadata/" + filepath.Base(path))
	if !ok {
		return "", refuse("%s lists no release; call it <N>.<product>.json so that its product is known", path)
	}
	return role, nil
}

// verifyOnline verifies a snapshot or timestamp by the root.
func verifyOnline[T metadata.Roles](v *verifier, data []byte, role string) error {
	m, err := parse[T](v.VerifyOptions.Path, data)
	if err != nil {
		return err
	}
	root, err := v.trustedRoot()
	if err != nil {
		return err
	}
	if err := verifySigned(v, role, m, nil, wordOfRoot(root, role)); err != nil {
		return err
	}
	var expires time.Time
	switch s := any(&m.Signed).(type) {
	case *metadata.SnapshotType:
		expires = s.Expires
	case *metadata.TimestampType:
		expires = s.Expires
	}
	return v.fresh(role, expires)
}

// word is a delegator's word on who signs a role: Entitled tells people of it, and go-tuf decides by it.
type word struct {
	bundle.Entitled
	verify func(role string, m any) error
}

func wordOfRoot(root *rootMeta, role string) word {
	return word{bundle.ByRoot(root, role), root.VerifyDelegate}
}

func wordOfTargets(targets *targetsMeta, product string) word {
	return word{bundle.ByTargets(targets, product), targets.VerifyDelegate}
}

// decide is go-tuf's verdict; a panic of it is a refusal.
func (w word) decide(role string, m any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed metadata: %v", p)
		}
	}()
	return w.verify(role, m)
}

// verifySigned wants every delegator's rule met.
func verifySigned[T metadata.Roles](v *verifier, role string, m *metadata.Metadata[T], labels map[string]string, words ...word) error {
	path := v.VerifyOptions.Path
	for _, w := range words {
		s, err := bundle.Count(role, w.Entitled, m)
		if err != nil {
			return refuse("%s: %w", path, err)
		}
		switch {
		case len(s.Wrong) > 0:
			return refuse("%s: the signature of %s does not verify: the file was changed after it was signed", path, names(people(s.Wrong, labels)))
		case !s.Enough() && len(s.Missing) > 0:
			return fmt.Errorf("%s: %w: %d of %d (as %s says); still to sign: %s", path, ErrUnsigned,
				len(s.Good), s.Need, s.By, names(people(s.Missing, labels)))
		}
		if err := w.decide(role, m); err != nil {
			return refuse("%s: as %s says: %w", path, s.By, err)
		}
		v.prove("signed by %s: %d of %d needed (as %s says)", names(people(s.Good, labels)), len(s.Good), s.Need, s.By)
	}
	return nil
}

func (v *verifier) fresh(role string, expires time.Time) error {
	v.prove("%s", lifetimeWords(expires, v.Now))
	return unexpired(role, expires, v.Now)
}

// bundle verifies a bundle as the repository will, and unpacks its artifacts.
func (v *verifier) bundle(ctx context.Context) error {
	dir := v.VerifyOptions.Path
	checked := CheckBundle(dir, v.Repo, v.Root, v.Now)
	if checked != nil && !errors.Is(checked, ErrUnsigned) {
		return checked
	}
	if err := v.blobs(ctx, dir); err != nil {
		return err
	}
	if checked != nil {
		return checked
	}
	v.prove("the repository would publish it: signatures, versions, releases and blobs are in order")
	if v.Repo == "" {
		v.cannot("that the repository is still where the bundle says: name it with --repo")
	}
	return nil
}

// blobs decodes artifacts, patches and chunks of a bundle.
func (v *verifier) blobs(ctx context.Context, dir string) (err error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	if v.Repo != "" {
		if v.base, err = ReadBase(v.Repo, v.Root); err != nil {
			return err
		}
	}
	for _, path := range b.Manifests() {
		m, err := firmware.ParseManifest(b.Manifest(path))
		if err != nil {
			return refuse("targets/%s: %w", path, err)
		}
		if err := v.unpacks(ctx, dir, path, m); err != nil {
			return err
		}
		if err := v.patches(ctx, path, m); err != nil {
			return err
		}
		if err := v.chunksOf(ctx, path, m); err != nil {
			return err
		}
	}
	return nil
}

// unpacks compares what the artifact of a manifest unpacks to with the image that the manifest names.
func (v *verifier) unpacks(ctx context.Context, dir, path string, m *firmware.Manifest) error {
	name := filepath.Join(dir, bundle.BlobName(m.Artifact.SHA256))
	got, err := readArtifact(ctx, name, io.Discard, v.Progress)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the repository has it
	}
	if err != nil {
		return err
	}
	if got.file != m.Artifact.Blob || got.image != m.Image {
		return refuse("the artifact of %s does not unpack to the image that its manifest names", path)
	}
	v.prove("the artifact of %s unpacks to image %s", path, m.Image.SHA256)
	return nil
}
