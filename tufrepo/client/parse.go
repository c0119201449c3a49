package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/listing"
)

// guard runs f, which calls go-tuf, and makes an error of a panic: go-tuf
// v2.4.2 has several on input that nobody signed. Errors that say nothing of
// their kind are of class other.
func guard(role string, other *Error, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = failf(ErrFormat, role, "the metadata made its parser panic: %v", p)
		}
	}()
	return classify(role, other, f())
}

// parser reads metadata that may come from anybody.
type parser struct {
	limits Limits
}

// common is what every role has.
type common struct {
	spec    string
	version int64
	sigs    []metadata.Signature
}

// read runs the steps before any signature is looked at: strict JSON, go-tuf's
// types, and what go-tuf does not ask.
func read[T metadata.Roles](p parser, role string, raw []byte, into *metadata.Metadata[T], head func(*T) common) error {
	if err := strictjson.Check(raw, strictjson.Options{MaxBytes: len(raw)}); err != nil {
		return fail(ErrFormat, role, err)
	}
	return guard(role, ErrFormat, func() error {
		if _, err := into.FromBytes(raw); err != nil {
			return err
		}
		c := head(&into.Signed)
		c.sigs = into.Signatures
		return p.checkCommon(c)
	})
}

func (p parser) checkCommon(c common) error {
	switch {
	case !strings.HasPrefix(c.spec, "1."):
		return fmt.Errorf("specification version %.20q, this program knows 1", c.spec)
	case c.version < 1:
		return fmt.Errorf("version %d", c.version)
	case len(c.sigs) > p.limits.RoleKeys:
		return fmt.Errorf("%d signatures, at most %d are allowed", len(c.sigs), p.limits.RoleKeys)
	}
	return nil
}

func (p parser) root(raw []byte) (*metadata.Metadata[metadata.RootType], error) {
	md := &metadata.Metadata[metadata.RootType]{}
	err := read(p, metadata.ROOT, raw, md, func(r *metadata.RootType) common { return common{spec: r.SpecVersion, version: r.Version} })
	if err != nil {
		return nil, err
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		r := md.Signed.Roles[role]
		if r == nil {
			return nil, failf(ErrFormat, metadata.ROOT, "it names no keys for %s", role)
		}
		if err := p.checkKeyIDs(r.KeyIDs); err != nil {
			return nil, fail(ErrFormat, metadata.ROOT, err)
		}
	}
	return md, nil
}

func (p parser) timestamp(raw []byte) (*metadata.Metadata[metadata.TimestampType], error) {
	md := &metadata.Metadata[metadata.TimestampType]{}
	err := read(p, metadata.TIMESTAMP, raw, md, func(t *metadata.TimestampType) common { return common{spec: t.SpecVersion, version: t.Version} })
	if err != nil {
		return nil, err
	}
	m := md.Signed.Meta["snapshot.json"]
	if m == nil || len(md.Signed.Meta) != 1 {
		return nil, failf(ErrFormat, metadata.TIMESTAMP, "it must list snapshot.json and nothing else")
	}
	return md, checkMeta(metadata.TIMESTAMP, m)
}

func (p parser) snapshot(raw []byte) (*metadata.Metadata[metadata.SnapshotType], error) {
	md := &metadata.Metadata[metadata.SnapshotType]{}
	err := read(p, metadata.SNAPSHOT, raw, md, func(s *metadata.SnapshotType) common { return common{spec: s.SpecVersion, version: s.Version} })
	if err != nil {
		return nil, err
	}
	for _, m := range md.Signed.Meta {
		if err := checkMeta(metadata.SNAPSHOT, m); err != nil {
			return nil, err
		}
	}
	return md, nil
}

func checkMeta(role string, m *metadata.MetaFiles) error {
	if m == nil || m.Version < 1 || m.Length < 0 {
		return failf(ErrFormat, role, "it lists a file with an impossible version or length")
	}
	return nil
}

// targets reads a role's file. signed is what is signed of it, in canonical JSON, where it is a listing; else nil.
func (p parser) targets(role string, raw []byte) (md *metadata.Metadata[metadata.TargetsType], signed []byte, err error) {
	if md, signed = listing.Read(raw); md != nil {
		err = classify(role, ErrFormat, p.checkCommon(common{md.Signed.SpecVersion, md.Signed.Version, md.Signatures}))
	} else {
		md, err = p.anyTargets(role, raw)
	}
	if err != nil {
		return nil, nil, err
	}
	return md, signed, nil
}

func (p parser) anyTargets(role string, raw []byte) (*metadata.Metadata[metadata.TargetsType], error) {
	md := &metadata.Metadata[metadata.TargetsType]{}
	err := read(p, role, raw, md, func(t *metadata.TargetsType) common { return common{spec: t.SpecVersion, version: t.Version} })
	if err != nil {
		return nil, err
	}
	for _, f := range md.Signed.Targets {
		if f == nil || f.Length < 0 {
			return nil, failf(ErrFormat, role, "it lists a target with an impossible length")
		}
	}
	if err := p.checkDelegations(md.Signed.Delegations); err != nil {
		return nil, fail(ErrFormat, role, err)
	}
	return md, nil
}

func (p parser) checkDelegations(d *metadata.Delegations) error {
	if d == nil {
		return nil
	}
	if d.SuccinctRoles != nil {
		return p.checkKeyIDs(d.SuccinctRoles.KeyIDs)
	}
	seen := map[string]bool{}
	for _, r := range d.Roles {
		if seen[r.Name] {
			return fmt.Errorf("it delegates twice to %q", r.Name)
		}
		seen[r.Name] = true
		if err := p.checkKeyIDs(r.KeyIDs); err != nil {
			return fmt.Errorf("delegation to %q: %w", r.Name, err)
		}
	}
	return nil
}

// checkKeyIDs bounds the work of a verification: go-tuf writes the whole
// document anew for every key.
func (p parser) checkKeyIDs(ids []string) error {
	if len(ids) > p.limits.RoleKeys {
		return fmt.Errorf("%d keys for one role, at most %d are allowed", len(ids), p.limits.RoleKeys)
	}
	return nil
}

// usable returns the key ids that name a key we can verify with. go-tuf fails
// the whole role for one key it does not know; without those keys the others
// still count, and the threshold stands.
func usable(ids []string, keys map[string]*metadata.Key) []string {
	var good []string
	for _, id := range ids {
		if k := keys[id]; k != nil && checkKey(k) == nil {
			good = append(good, id)
		}
	}
	return good
}

func checkKey(k *metadata.Key) error {
	pub, err := k.ToPublicKey()
	if err != nil {
		return err
	}
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return errors.New("an ed25519 key has 32 bytes")
		}
	case *rsa.PublicKey:
		if pub.N.BitLen() > 4096 {
			return errors.New("an RSA key of more than 4096 bits")
		}
	case *ecdsa.PublicKey:
		if pub.Curve.Params().BitSize > 384 {
			return errors.New("a curve beyond P-384")
		}
	}
	return nil
}

// pruneRoot and pruneTargets leave only usable keys in metadata that has been
// verified: from then on it only serves as a delegator.
func pruneRoot(r *metadata.RootType) {
	for _, role := range r.Roles {
		if role != nil {
			role.KeyIDs = usable(role.KeyIDs, r.Keys)
		}
	}
}

func pruneTargets(t *metadata.TargetsType) {
	d := t.Delegations
	if d == nil {
		return
	}
	for i := range d.Roles {
		d.Roles[i].KeyIDs = usable(d.Roles[i].KeyIDs, d.Keys)
	}
	if d.SuccinctRoles != nil {
		d.SuccinctRoles.KeyIDs = usable(d.SuccinctRoles.KeyIDs, d.Keys)
	}
}

// signedDigest identifies what was signed, whatever the signatures and the
// white space around it, and whatever go-tuf makes of it.
func signedDigest(raw []byte) (string, error) {
	var md struct {
		Signed json.RawMessage `json:"signed"`
	}
	if err := json.Unmarshal(raw, &md); err != nil {
		return "", err
	}
	b, err := cjson.EncodeCanonical(md.Signed)
	if err != nil {
		return "", err
	}
	return firmware.Sum(b).String(), nil
}

func reserved(role string) bool { return slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], role) }
