package bundle

import (
	"bytes"
	"fmt"
	"maps"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// checker judges one bundle. Every step notes what it finds and leaves behind
// the state that the next step builds on.
type checker struct {
	*Bundle
	base *Base
	now  time.Time
	deep bool // read blobs to the end

	plan     *Plan
	problems Problems
	root     *metadata.Metadata[metadata.RootType]    // newest, perhaps not yet signed
	targets  *metadata.Metadata[metadata.TargetsType] // newest, perhaps not yet signed
	used     map[string]bool                          // files of the bundle that something names
}

// Check judges the bundle against the repository that it is for, blobs read to
// the end. The error is Problems, or one of reading. A bundle that brings
// nothing new passes with an empty plan.
func (b *Bundle) Check(base *Base) (*Plan, error) { return b.check(base, true) }

// Plan is Check without reading blobs beyond the heads of artifacts, for a
// publisher that compares them while it copies them.
func (b *Bundle) Plan(base *Base) (*Plan, error) { return b.check(base, false) }

func (b *Bundle) check(base *Base, deep bool) (*Plan, error) {
	c := &checker{
		Bundle: b, base: base, now: b.now(), deep: deep,
		plan:     &Plan{Meta: map[string]*metadata.MetaFiles{}, files: map[string]*productFile{}},
		problems: append(Problems(nil), b.strange...),
		root:     base.Root(), targets: base.Targets(), used: map[string]bool{},
	}
	if base.snapshot != nil {
		maps.Copy(c.plan.Meta, base.snapshot.Meta.Signed.Meta)
	}
	for _, step := range []func() error{c.checkRoots, c.checkTargets, c.checkPolicy, c.checkProducts, c.checkUnused} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.plan.Top = c.targets
	return c.plan, nil
}

func (c *checker) note(kind Kind, role, file, what, do string) {
	c.problems = append(c.problems, &Problem{Kind: kind, Role: role, File: file, What: what, Do: do})
}

func (c *checker) refuse(role, file string, faults ...error) {
	for _, err := range faults {
		c.note(Refused, role, file, err.Error(), doRemake)
	}
}

// next picks the file of the bundle that follows version have of a role, or
// "". Versions that the repository has must be the same files there.
func (c *checker) next(role string, have int64) (found string, err error) {
	for _, name := range c.MetadataNames(role) {
		switch v, _, _ := ParseMetadataName(name); {
		case v == have+1:
			found = name
		case v > have+1:
			c.gap(role, name, have)
		default:
			if err := c.republished(role, name); err != nil {
				return "", err
			}
		}
	}
	return found, nil
}

func (c *checker) gap(role, name string, have int64) {
	c.note(Conflict, role, name, fmt.Sprintf("version %d of %s comes next, and nothing later", have+1, role), doRebuild)
}

func (c *checker) republished(role, name string) error {
	var raw []byte
	if c.base.fsys != nil {
		var err error
		if raw, err = readOptional(c.base.fsys, name, MaxTargets); err != nil {
			return fmt.Errorf("comparing %s with the repository: %w", name, err)
		}
	}
	if !bytes.Equal(raw, c.metadata[name]) {
		c.note(Conflict, role, name, "the repository has another file of this version already", doRebuild)
	}
	return nil
}

// checkRoots appends the new roots to the chain, each by the keys of the one
// before and by its own. Intermediate roots may have expired, the last not.
func (c *checker) checkRoots() error {
	have := int64(0)
	if c.root != nil {
		have = c.root.Signed.Version
		c.plan.Chain = append(c.plan.Chain, c.root)
	}
	for _, name := range c.MetadataNames(metadata.ROOT) {
		switch v, _, _ := ParseMetadataName(name); {
		case v == have+1:
			if !c.addRoot(name) {
				return c.problems
			}
			have++
		case v > have:
			c.gap(metadata.ROOT, name, have)
		default:
			if err := c.republished(metadata.ROOT, name); err != nil {
				return err
			}
		}
	}
	if c.root == nil {
		c.note(Refused, metadata.ROOT, "", "the repository is new and the bundle has no metadata/1.root.json", "make one with fairlead-sign root new")
		return c.problems
	}
	c.unexpired(metadata.ROOT, MetadataName(have, metadata.ROOT), c.root.Signed.Expires)
	return nil
}

// addRoot reports whether the rest of the bundle can be judged by this root.
func (c *checker) addRoot(name string) bool {
	doc, err := newDoc[metadata.RootType](name, c.metadata[name])
	if err != nil {
		c.refuse(metadata.ROOT, name, err)
		return false
	}
	if faults := rootFaults(doc.Meta); len(faults) > 0 {
		c.refuse(metadata.ROOT, name, faults...)
		return false
	}
	by := []Entitled{ByRoot(doc.Meta, metadata.ROOT)}
	if c.root != nil {
		by = append(by, ByRoot(c.root, metadata.ROOT))
	}
	if signed(c, metadata.ROOT, doc, by, nil) {
		if err := checkRoot(c.root, doc.Meta); err != nil {
			c.refuse(metadata.ROOT, name, err)
		}
	}
	c.root = doc.Meta
	c.plan.Chain = append(c.plan.Chain, doc.Meta)
	c.plan.Roots = append(c.plan.Roots, doc.file())
	return true
}

// checkTargets judges the next targets role, or the present one by the new
// root.
func (c *checker) checkTargets() error {
	name, err := c.next(metadata.TARGETS, c.base.versionOf(metadata.TARGETS))
	if err != nil {
		return err
	}
	if name == "" {
		return c.keptTargets()
	}
	doc, err := newDoc[metadata.TargetsType](name, c.metadata[name])
	if err != nil {
		c.refuse(metadata.TARGETS, name, err)
		return c.problems
	}
	if faults := targetsFaults(doc.Meta); len(faults) > 0 {
		c.refuse(metadata.TARGETS, name, faults...)
		return c.problems
	}
	var also []string
	for _, root := range c.plan.Chain {
		also = append(also, ByRoot(root, metadata.TARGETS).KeyIDs...)
	}
	if signed(c, metadata.TARGETS, doc, []Entitled{ByRoot(c.root, metadata.TARGETS)}, also) {
		if err := verify(c.root, metadata.TARGETS, doc.Meta); err != nil {
			c.refuse(metadata.TARGETS, name, err)
		}
	}
	c.unexpired(metadata.TARGETS, name, doc.Meta.Signed.Expires)
	c.targets = doc.Meta
	c.plan.Targets = []File{doc.file()}
	c.plan.Meta[metadata.TARGETS+".json"] = doc.MetaFile()
	return nil
}

func (c *checker) keptTargets() error {
	if c.targets == nil {
		c.note(Refused, metadata.TARGETS, "", "the repository is new and the bundle has no metadata/1.targets.json", "make one with fairlead-sign root new")
		return c.problems
	}
	version := c.targets.Signed.Version
	c.unexpired(metadata.TARGETS, "", c.targets.Signed.Expires)
	if err := verify(c.root, metadata.TARGETS, c.targets); err != nil {
		c.note(Refused, metadata.TARGETS, "", fmt.Sprintf("root %d gives targets to other keys, and the published targets %d is not signed by them", c.root.Signed.Version, version),
			fmt.Sprintf("add a targets %d, signed by the old and the new keys, to the bundle", version+1))
	}
	return nil
}

// signed counts signatures by every one of the entitled lists, and reports
// whether all are met. Keys in none of the lists, nor in also, have no say:
// their signatures are refused rather than carried along.
func signed[T metadata.Roles](c *checker, role string, d *Doc[T], by []Entitled, also []string) bool {
	enough, file := true, d.Name
	allowed := map[string]bool{}
	for _, e := range append(by, Entitled{KeyIDs: also}) {
		for _, id := range e.KeyIDs {
			allowed[id] = true
		}
	}
	for _, e := range by {
		s, err := d.Count(role, e)
		if err != nil {
			c.refuse(role, file, err)
			return false
		}
		if len(s.Wrong) > 0 {
			c.note(Refused, role, file, "the signature of "+short(s.Wrong)+" does not verify: the file was altered after signing, or damaged", doRemake)
			enough = false
		} else if !s.Enough() {
			c.problems = append(c.problems, &Problem{Kind: Unsigned, Role: role, File: file, What: s.String(), Do: doSign, Signatures: &s})
			enough = false
		}
	}
	for _, sig := range d.Meta.Signatures {
		if !allowed[sig.KeyID] {
			c.note(Refused, role, file, fmt.Sprintf("signed by key %.12s, which has no say in %s", sig.KeyID, role), doRemake)
			enough = false
		}
	}
	return enough
}

func (c *checker) unexpired(role, file string, expires time.Time) {
	if !expires.After(c.now) {
		c.note(Refused, role, file, fmt.Sprintf("%s expired on %s", role, expires.Format(time.RFC3339)), "sign its next version with a later expiry")
	}
}

// checkUnused refuses what nothing names: it would not be published, and
// somebody put it there for a reason. After a conflict nothing is known.
func (c *checker) checkUnused() error {
	if c.problems.Kind() == Conflict {
		return nil
	}
	if c.Bundle.policy != nil && !c.used[policyFile] {
		c.note(Refused, "", policyFile, "the targets role does not name this log policy", "put it in with fairlead-sign log-policy, or "+doRemove)
	}
	for _, target := range c.Manifests() {
		if name := bundleManifestName(target); !c.used[name] {
			c.note(Refused, "", name, "no product role names this manifest", "release it with fairlead-sign release, or "+doRemove)
		}
	}
	for _, blob := range c.Blobs() {
		if name := BlobName(blob.SHA256); !c.used[name] {
			c.note(Refused, "", name, "no manifest of the bundle names this blob", doRemove)
		}
	}
	return nil
}
