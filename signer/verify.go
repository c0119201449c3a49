package signer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// ErrAnchor says that a file cannot be verified without a repository or a trusted root.
var ErrAnchor = errors.New("name what you trust: --repo REPOSITORY or --root ROOT.json")

// VerifyOptions say what is verified, and by what.
type VerifyOptions struct {
	Path     string
	Repo     string   // repository, or a copy of its metadata folder
	Root     string   // trusted root file
	From     []string // image files or block devices, the bases of patches
	Now      time.Time
	Progress func(done, total int64) // for artifacts, patches and chunks
}

// Verdict is what Verify found in order.
type Verdict struct {
	Path   string   `json:"path"`
	Kind   Kind     `json:"kind"`
	Proven []string `json:"proven"`             // what was verified, in words
	Not    []string `json:"unproven,omitempty"` // what nothing here can tell
}

// Verify verifies a file or folder of the toolchain. nil: it is in order. ErrUnsigned: only signatures are missing.
// ErrRefused: it is not valid. ErrAnchor: nothing to verify it by.
func Verify(ctx context.Context, o VerifyOptions) (*Verdict, error) {
	kind, err := Recognise(o.Path)
	if err != nil {
		return nil, err
	}
	v := &verifier{VerifyOptions: o, Verdict: &Verdict{Path: o.Path, Kind: kind}, images: map[string]firmware.Blob{}}
	if o.Repo != "" && kind != KindBundle {
		if v.base, err = ReadBase(o.Repo, o.Root); err != nil {
			return nil, err
		}
	}
	if err := v.byKind(ctx); err != nil {
		return nil, err
	}
	return v.Verdict, nil
}

type verifier struct {
	VerifyOptions
	*Verdict
	base   *Base                    // nil without Repo
	images map[string]firmware.Blob // what the files of From turned out to be
}

func (v *verifier) byKind(ctx context.Context) error {
	switch v.Kind {
	case KindPublicKey, KindPrivateKey:
		return v.key()
	case KindBundle:
		return v.bundle(ctx)
	case KindRepository:
		return v.repository()
	case KindArtifact:
		return v.artifact(ctx)
	case KindPatch:
		return v.patch(ctx)
	case KindChunks:
		return v.chunks(ctx)
	}
	data, err := readFile(v.VerifyOptions.Path, bundle.MaxTargets)
	if err != nil {
		return err
	}
	switch v.Kind {
	case KindManifest:
		return v.manifest(data)
	case KindDirection:
		return v.direction(data)
	case KindSaid:
		v.prove("it is well formed")
		v.cannot("who has signed it: a publish policy names them, and fairlead-repo publish proves it")
		return nil
	case KindRoot:
		return v.root(data)
	case KindSnapshot:
		return verifyOnline[metadata.SnapshotType](v, data, metadata.SNAPSHOT)
	case KindTimestamp:
		return verifyOnline[metadata.TimestampType](v, data, metadata.TIMESTAMP)
	}
	return v.targets(data)
}

func (v *verifier) prove(format string, args ...any) {
	v.Proven = append(v.Proven, printable(fmt.Sprintf(format, args...)))
}

func (v *verifier) cannot(format string, args ...any) {
	v.Not = append(v.Not, printable(fmt.Sprintf(format, args...)))
}

func (v *verifier) key() error {
	info, err := readKeyInfo(v.VerifyOptions.Path, v.Kind)
	if err != nil {
		return err
	}
	if info.Open {
		return refuse("private key %s can be read by others; run: chmod 600 %s", v.VerifyOptions.Path, v.VerifyOptions.Path)
	}
	v.prove("the file is a well-formed %s", v.Kind)
	if info.Encrypted {
		v.cannot("whether it is whole: that takes its passphrase")
		return nil
	}
	if v.base == nil {
		v.cannot("whether any repository knows it: name one with --repo")
		return nil
	}
	roles := v.base.rolesOf(info.ID)
	if len(roles) == 0 {
		return refuse("key %s has no role in the repository", Person{ID: info.ID})
	}
	v.prove("it signs for %s", list(roles))
	return nil
}

// rolesOf are the roles and products that a key signs for.
func (b *Base) rolesOf(id string) []string {
	var roles []string
	if b.Root() != nil {
		roles = rolesOf(&b.Root().Signed, id, topRoles...)
	}
	for _, product := range b.Delegated() {
		if len(without([]string{id}, bundle.ByTargets(b.Targets(), product).KeyIDs)) == 0 {
			roles = append(roles, product)
		}
	}
	return roles
}

func (v *verifier) repository() error {
	base := v.base
	if base == nil {
		var err error
		if base, err = ReadBase(v.VerifyOptions.Path, v.Root); err != nil {
			return err
		}
	}
	v.prove("signatures, versions, lengths and hashes of %s, timestamp and snapshot", base.words())
	if err := base.expired(v.Now); err != nil {
		return err
	}
	v.prove("nothing is expired")
	if err := v.logged(base); err != nil {
		return err
	}
	if v.Root == "" {
		v.cannot("that its first root is yours: compare it with --root")
	}
	return nil
}

// expired refuses a repository that devices refuse for its age.
func (b *Base) expired(now time.Time) error {
	dates := map[string]time.Time{metadata.ROOT: b.Root().Signed.Expires}
	if t := b.Timestamp(); t != nil {
		dates[metadata.TIMESTAMP] = t.Meta.Signed.Expires
		dates[metadata.SNAPSHOT] = b.Snapshot().Meta.Signed.Expires
		dates[metadata.TARGETS] = b.Targets().Signed.Expires
	}
	for _, product := range b.Products() {
		dates[product] = b.Role(product).Signed.Expires
	}
	var errs []error
	for role, expires := range dates {
		errs = append(errs, unexpired(role, expires, now))
	}
	return errors.Join(errs...)
}

func unexpired(what string, expires, now time.Time) error {
	if !expires.After(now) {
		return refuse("%s expired on %s", what, day(expires))
	}
	return nil
}

func (v *verifier) direction(data []byte) error {
	root, err := v.trustedRoot()
	if err != nil {
		return err
	}
	d, err := direction.Verify(data, root, v.Now)
	if err != nil {
		return refuse("%s: %w", v.VerifyOptions.Path, err)
	}
	v.prove("signed by the targets key of root %d", root.Signed.Version)
	v.prove("direction %d to device %q, %s", d.Version, d.Device, lifetimeWords(d.Expires, v.Now))
	v.cannot("whether the device has a newer one")
	return nil
}

// trustedRoot is the repository's newest root, or the root file given.
func (v *verifier) trustedRoot() (*rootMeta, error) {
	if v.base != nil && v.base.Root() != nil {
		return v.base.Root(), nil
	}
	if v.Root == "" {
		return nil, ErrAnchor
	}
	data, err := readFile(v.Root, bundle.MaxRoot)
	if err != nil {
		return nil, fmt.Errorf("reading the trusted root: %w", err)
	}
	return parse[metadata.RootType](v.Root, data)
}

// manifest finds the release in the repository.
func (v *verifier) manifest(data []byte) error {
	m, err := firmware.ParseManifest(data)
	if err != nil {
		return refuse("%s: %w", v.VerifyOptions.Path, err)
	}
	if v.base == nil {
		return ErrAnchor
	}
	role := v.base.Role(m.Product)
	if role == nil {
		return refuse("the repository has no releases of %s", m.Product)
	}
	path := firmware.TargetPath(m.Product, m.Version)
	target := role.Signed.Targets[path]
	if target == nil || target.VerifyLengthHashes(data) != nil {
		return refuse("the repository lists no release %s with this manifest", path)
	}
	v.prove("it is the manifest of %s, which %s %d lists", path, m.Product, role.Signed.Version)
	return unexpired(m.Product, role.Signed.Expires, v.Now)
}
