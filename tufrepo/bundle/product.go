package bundle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// checkProducts judges the product roles of the bundle, and those of the
// repository that a new targets role gives to other keys.
func (c *checker) checkProducts() error {
	names := delegated(c.targets)
	for _, product := range c.Bundle.products() {
		if !slices.Contains(names, product) {
			c.note(Refused, product, "", "targets delegates no product of this name", "add it with fairlead-sign product add")
		}
	}
	for _, product := range names {
		file, err := c.next(product, c.base.versionOf(product))
		if err != nil {
			return err
		}
		if file == "" {
			c.keptProduct(product)
		} else if err := c.checkProduct(product, file); err != nil {
			return err
		}
		if err := c.markKnown(product); err != nil {
			return err
		}
	}
	return nil
}

// keptProduct: a role that stays as it is must please the keys of now.
func (c *checker) keptProduct(product string) {
	have := c.base.versionOf(product)
	if have == 0 {
		return
	}
	kept := c.base.Product(product)
	if kept == nil || verifyProduct(c.targets, product, kept) != nil {
		c.note(Refused, product, "", fmt.Sprintf("targets gives it to other keys, and the published version %d is not signed by them", have),
			fmt.Sprintf("add version %d, signed by the new keys, to the bundle", have+1))
		return
	}
	c.plan.Listed = append(c.plan.Listed, c.base.Releases(product)...)
}

func (c *checker) checkProduct(product, file string) error {
	doc, err := newDoc[metadata.TargetsType](file, c.metadata[file])
	if err != nil {
		c.refuse(product, file, err)
		return nil
	}
	releases, faults := listed(product, doc.Meta)
	if len(faults) > 0 {
		c.refuse(product, file, faults...)
		return nil
	}
	var also []string
	if old := c.base.Targets(); old != nil {
		also = ByTargets(old, product).KeyIDs
	}
	signed(c, product, doc, []Entitled{ByTargets(c.targets, product)}, also)
	c.unexpired(product, file, doc.Meta.Signed.Expires)
	c.plan.Products = append(c.plan.Products, doc.file())
	c.plan.files[product] = &productFile{doc, releases}
	c.plan.Meta[product+".json"] = doc.MetaFile()
	return c.checkReleases(product, file, doc.Meta, releases)
}

// checkReleases judges what the new role lists and the old did not. A release
// may be withdrawn; it cannot become another, and none goes below the highest
// counter.
func (c *checker) checkReleases(product, file string, role *metadata.Metadata[metadata.TargetsType], releases []Entry) error {
	c.plan.Listed = append(c.plan.Listed, releases...)
	old := map[string]*metadata.TargetFiles{}
	top := int64(0)
	if before := c.base.Role(product); before != nil {
		maps.Copy(old, before.Signed.Targets)
		if known := c.base.Releases(product); len(known) > 0 {
			top = known[len(known)-1].Counter
		}
	}
	for _, e := range releases {
		switch was := old[e.Path]; {
		case was != nil && !sameEntry(was, role.Signed.Targets[e.Path]):
			c.note(Refused, product, file, fmt.Sprintf("release %s is published already and is another now", e.Path), "give the new release a new version")
		case was == nil && e.Counter <= top:
			c.note(Refused, product, file, fmt.Sprintf("release %s has counter %d; the highest published is %d", e.Path, e.Counter, top), "make the release again with a higher counter")
		case was == nil:
			if err := c.checkRelease(product, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) checkRelease(product string, e Entry) error {
	name := bundleManifestName(e.Path)
	raw, ok := c.manifests[e.Path]
	if !ok {
		c.note(Refused, product, name, "the manifest is missing", doRemake)
		return nil
	}
	c.used[name] = true
	m, err := e.manifest(raw)
	if err != nil {
		c.refuse(product, name, err)
		return nil
	}
	c.plan.Manifests = append(c.plan.Manifests, File{Name: ManifestName(e.Path, e.SHA256), From: name, Blob: e.Blob, Data: raw})
	c.plan.Releases = append(c.plan.Releases, e)
	for _, blob := range m.Blobs() {
		if err := c.checkBlob(product, blob); err != nil {
			return err
		}
	}
	c.checkHeads(product, m)
	return nil
}

// markKnown passes over releases that are published already, so that one bundle
// folder can serve for several releases. Their blobs are planned all the same: a
// publisher that finds one damaged replaces it.
func (c *checker) markKnown(product string) error {
	for _, e := range c.base.Releases(product) {
		raw := c.manifests[e.Path]
		if raw == nil || firmware.Sum(raw) != e.SHA256 {
			continue
		}
		c.used[bundleManifestName(e.Path)] = true
		if err := c.checkKnownBlobs(product, e, raw); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) checkKnownBlobs(product string, e Entry, raw []byte) error {
	m, err := e.manifest(raw)
	if err != nil {
		return err
	}
	for _, blob := range m.Blobs() {
		if _, ok := c.blobs[blob.SHA256]; !ok {
			continue
		}
		if err := c.checkBlob(product, blob); err != nil {
			return err
		}
	}
	return nil
}
