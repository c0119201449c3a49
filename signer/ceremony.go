package signer

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
)

// Ceremony is the way of a bundle that brings a root: what is done, and who must do what next. It is computed from the
// bundle each time, so that it is right whoever did what in between, and in which order.
type Ceremony struct {
	*View
	Root     int64    `json:"root"`     // the version that the bundle leads to
	Director bool     `json:"director"` // it is the root of a tenant's director
	Duties   []Duty   `json:"duties"`   // who may do what under the new root, and who may no longer
	Steps    []Step   `json:"steps"`    // in their order
	Wrong    []string `json:"wrong,omitempty"`
	After    []string `json:"after"` // what is left to do when all steps are done
}

// Duty is what a root lets one key do.
type Duty struct {
	Person
	Roles   []string `json:"roles"`
	Entered []string `json:"entered,omitempty"` // of Roles, those that are new
	Left    []string `json:"left,omitempty"`    // roles that the root before gave
}

// Step is one thing to do. A step can be done when those before it are.
type Step struct {
	What string   `json:"what"`
	Done bool     `json:"done"`
	Who  []Person `json:"who,omitempty"` // whose signature would help
	Do   string   `json:"do,omitempty"`  // a command
}

// ReadCeremony reads a bundle that brings a root. repo is a repository, or a copy of its metadata, which tells whether the
// bundle is still good and whether it is published; "" leaves that open. root is a root file that the reader trusts, or "".
func ReadCeremony(dir, repo, root string, now time.Time) (*Ceremony, error) {
	if kind, err := Recognise(dir); err != nil {
		return nil, err
	} else if kind != KindBundle {
		return nil, refuse("%s is not a bundle, and a ceremony is about one; fairlead-sign root status shows it", dir)
	}
	base, err := baseOf(dir, repo, root)
	if err != nil {
		return nil, err
	}
	published, err := publishedIn(dir, base)
	if err != nil {
		return nil, err
	}
	if published { // what it changes is seen from where it was drafted
		if base, err = baseOf(dir, "", ""); err != nil {
			return nil, err
		}
	}
	f, err := readFolder(dir, base)
	if err != nil {
		return nil, err
	}
	newest := f.newestRoot()
	if !slices.ContainsFunc(f.files, func(m *metaFile) bool { return m.root != nil }) {
		return nil, refuse("bundle %s brings no root; fairlead-sign status shows it", dir)
	}
	c := &Ceremony{Root: newest.Signed.Version, Director: f.newestTargets() == nil}
	if c.View, err = f.view(); err != nil {
		return nil, err
	}
	problems, err := f.faults(now, false)
	if err != nil {
		return nil, err
	}
	for _, p := range wrong(problems) {
		c.Wrong = append(c.Wrong, p.Error())
	}
	c.Duties = duties(f.base.Root(), newest, f.labels())
	c.plan(repo, published)
	return c, nil
}

// publishedIn tells whether the base has all metadata of the bundle already.
func publishedIn(dir string, base *Base) (bool, error) {
	f, err := readFolder(dir, base)
	if err != nil {
		return false, err
	}
	for _, file := range f.files {
		var have []byte
		for _, doc := range base.Roots() {
			if doc.Name == file.name {
				have = doc.Bytes
			}
		}
		if doc := base.TargetsDoc(); file.role == metadata.TARGETS && doc != nil && doc.Version > file.version {
			continue // a later one has followed
		} else if file.role == metadata.TARGETS && doc != nil {
			have = doc.Bytes
		}
		if file.root == nil && file.role != metadata.TARGETS {
			continue
		}
		if !bytes.Equal(have, file.raw) {
			return false, nil
		}
	}
	return len(f.files) > 0, nil
}

// duties are the keys of a root and of the one before it, old, which may be nil.
func duties(old, root *rootMeta, labels map[string]string) []Duty {
	roles := func(m *rootMeta, id string) []string {
		if m == nil {
			return nil
		}
		return rolesOf(&m.Signed, id, topRoles...)
	}
	ids := map[string]bool{}
	for _, m := range []*rootMeta{old, root} {
		if m != nil {
			for id := range m.Signed.Keys {
				ids[id] = true
			}
		}
	}
	var out []Duty
	for _, p := range people(slices.Collect(maps.Keys(ids)), labels) {
		d := Duty{Person: p, Roles: roles(root, p.ID), Left: without(roles(old, p.ID), roles(root, p.ID))}
		if old != nil {
			d.Entered = without(d.Roles, roles(old, p.ID))
		}
		out = append(out, d)
	}
	return out
}

// plan sets the steps.
func (c *Ceremony) plan(repo string, published bool) {
	c.Steps = []Step{{What: fmt.Sprintf("draft root %d", c.Root), Done: true}}
	for _, f := range c.Files {
		for _, r := range f.Rules {
			c.Steps = append(c.Steps, Step{
				What: fmt.Sprintf("sign %s as %s says: %s", f.Name, r.By, r.progress()), Done: r.Met(), Who: c.marked(append(slices.Clone(r.Open), r.Wrong...)),
				Do: fmt.Sprintf("fairlead-sign sign %s --key KEY", c.Bundle),
			})
		}
	}
	if repo == "" {
		repo = "REPO"
	}
	c.Steps = append(c.Steps,
		Step{What: "judge the bundle by a copy of the repository's metadata, as the repository will", Done: published || c.Met() && repo != "REPO" && len(c.Wrong) == 0,
			Do: fmt.Sprintf("fairlead-sign verify %s --repo %s", c.Bundle, repo)},
		Step{What: "publish it, on the repository's machine", Done: published, Do: c.publishing(repo)})
	c.After = c.afterwards()
}

func (r Rule) progress() string {
	if len(r.Signed) == 0 {
		return fmt.Sprintf("0 of %d", r.Threshold)
	}
	return fmt.Sprintf("%d of %d, by %s", len(r.Signed), r.Threshold, names(r.Signed))
}

// marked is who, without labels that could be another's word for the same key.
func (c *Ceremony) marked(who []Person) []Person {
	slices.SortFunc(who, comparePeople)
	return slices.Compact(who)
}

func (c *Ceremony) publishing(repo string) string {
	if c.Director {
		return fmt.Sprintf("fairlead-repo tenant add TENANT --repo %s --root %s", repo, c.Bundle)
	}
	return fmt.Sprintf("fairlead-repo publish --repo %s %s", repo, c.Bundle)
}

func (c *Ceremony) afterwards() []string {
	var out []string
	if c.Root == 1 && !c.Director {
		out = append(out, "give metadata/1.root.json to every device at the factory; its SHA-256 is what people compare")
	}
	for _, d := range c.Duties {
		switch {
		case len(d.Left) > 0 && len(d.Roles) == 0:
			out = append(out, fmt.Sprintf("key %s may sign nothing any more: once the root is published, destroy it, and its copies", d.Person))
		case len(d.Left) > 0:
			out = append(out, fmt.Sprintf("key %s no longer signs %s, and goes on signing %s", d.Person, list(d.Left), list(d.Roles)))
		}
	}
	for _, f := range c.Files {
		if f.Role == metadata.ROOT && f.Version == c.Root {
			out = append(out, fmt.Sprintf("rotate again before %s: begin a month earlier", day(f.Expires)))
		}
	}
	return out
}

// Next is the first step that is not done; nil if none is left.
func (c *Ceremony) Next() *Step {
	for i := range c.Steps {
		if !c.Steps[i].Done {
			return &c.Steps[i]
		}
	}
	return nil
}

// RecordName is the file beside a bundle that holds the record of its ceremony.
func RecordName(dir string) string { return filepath.Clean(dir) + ".ceremony.txt" }

// WriteRecord writes the record beside the bundle, in place of an older one.
func (c *Ceremony) WriteRecord() (string, error) {
	var b bytes.Buffer
	if err := c.WriteText(&b); err != nil {
		return "", err
	}
	name := RecordName(c.Bundle)
	if err := durable.WriteFile(name, b.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("writing the record of the ceremony: %w", err)
	}
	return name, nil
}

// seal is the digest of what is signed of a file: the same whoever has signed.
func (f *metaFile) seal() (string, error) {
	sum, err := f.doc.SignedDigest()
	if err != nil {
		return "", refuse("%s: %w", f.name, err)
	}
	return sum.String(), nil
}

func (d Duty) words() string {
	switch {
	case len(d.Roles) == 0:
		return "nothing any more; leaves " + list(d.Left)
	case len(d.Entered) > 0 && len(d.Left) > 0:
		return fmt.Sprintf("%s; enters %s; leaves %s", list(d.Roles), list(d.Entered), list(d.Left))
	case len(d.Entered) > 0:
		return fmt.Sprintf("%s; enters %s", list(d.Roles), list(d.Entered))
	case len(d.Left) > 0:
		return fmt.Sprintf("%s; leaves %s", list(d.Roles), list(d.Left))
	}
	return list(d.Roles)
}

// orList joins words for a choice.
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
