package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// View is a bundle as the people who sign it see it.
type View struct {
	Bundle string     `json:"bundle"`
	Base   string     `json:"base"` // what it follows, in words
	Files  []FileView `json:"files"`
}

// FileView is one metadata file of a bundle.
type FileView struct {
	Name    string    `json:"name"` // "metadata/<N>.<role>.json"
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	Digest  string    `json:"signed_sha256"` // of what is signed; signatures do not change it
	Changes []string  `json:"changes"`       // against the version before, in words
	Rules   []Rule    `json:"rules"`         // all of them must be met

	file *metaFile
}

// Rule is a condition on the signatures of a file.
type Rule struct {
	By        string   `json:"by"` // who says so: "root 1", "targets 4"
	Threshold int      `json:"threshold"`
	Signed    []Person `json:"signed"`
	Open      []Person `json:"open"`            // may sign and have not
	Wrong     []Person `json:"wrong,omitempty"` // their signature does not verify: the file was changed after it
}

// Met reports whether enough people have signed.
func (r Rule) Met() bool { return r.Threshold > 0 && len(r.Signed) >= r.Threshold }

// Met reports whether every rule of the file is met.
func (f FileView) Met() bool {
	return len(f.Rules) > 0 && !slices.ContainsFunc(f.Rules, func(r Rule) bool { return !r.Met() })
}

// Met reports whether no signature is missing anywhere.
func (v *View) Met() bool {
	return !slices.ContainsFunc(v.Files, func(f FileView) bool { return !f.Met() })
}

// asks reports whether the file still wants the signature of key id.
func (f FileView) asks(id string) bool {
	return slices.ContainsFunc(f.Rules, func(r Rule) bool {
		isIt := func(p Person) bool { return p.ID == id }
		return !r.Met() && (slices.ContainsFunc(r.Open, isIt) || slices.ContainsFunc(r.Wrong, isIt))
	})
}

// ReadView reads a bundle. What it follows is taken from repo if that is not empty, else from the bundle; root is a
// root file that the reader trusts, or "".
func ReadView(dir, repo, root string) (*View, error) {
	base, err := baseOf(dir, repo, root)
	if err != nil {
		return nil, err
	}
	f, err := readFolder(dir, base)
	if err != nil {
		return nil, err
	}
	return f.view()
}

// ReadRepositoryView shows the published root, targets file and product roles of a repository.
func ReadRepositoryView(dir, root string) (*View, error) {
	base, err := ReadBase(dir, root)
	if err != nil {
		return nil, err
	}
	f := &folder{dir: dir, base: &Base{Base: &bundle.Base{}}}
	if r := base.Root(); r != nil {
		doc := base.Roots()[len(base.Roots())-1]
		f.files = append(f.files, &metaFile{name: doc.Name, role: metadata.ROOT, version: doc.Version, root: r, doc: doc})
	}
	if doc := base.TargetsDoc(); doc != nil {
		f.files = append(f.files, &metaFile{name: doc.Name, role: metadata.TARGETS, version: doc.Version, targets: doc.Meta, doc: doc})
	}
	for _, product := range base.Products() {
		doc := base.Product(product)
		f.files = append(f.files, &metaFile{name: doc.Name, role: product, version: doc.Version, targets: doc.Meta, doc: doc})
	}
	return f.view()
}

func (f *folder) view() (*View, error) {
	v := &View{Bundle: f.dir, Base: f.base.words()}
	labels := f.labels()
	for _, file := range f.files {
		fv := FileView{Name: file.name, Role: file.role, Version: file.version, Expires: file.expires(), file: file}
		var err error
		if fv.Digest, err = file.seal(); err != nil {
			return nil, err
		}
		if fv.Changes, err = f.changes(file); err != nil {
			return nil, err
		}
		for _, e := range f.entitled(file) {
			rule, err := file.count(e, labels)
			if err != nil {
				return nil, err
			}
			fv.Rules = append(fv.Rules, rule)
		}
		v.Files = append(v.Files, fv)
	}
	return v, nil
}

func (f *metaFile) expires() time.Time {
	if f.root != nil {
		return f.root.Signed.Expires
	}
	return f.targets.Signed.Expires
}

// entitled are those who may sign a file, one entry for each rule.
func (f *folder) entitled(file *metaFile) []bundle.Entitled {
	switch {
	case file.root != nil:
		rules := []bundle.Entitled{bundle.ByRoot(file.root, metadata.ROOT)}
		if old := f.root(file.version - 1); old != nil {
			rules = append([]bundle.Entitled{bundle.ByRoot(old, metadata.ROOT)}, rules...)
		} else if file.version > 1 {
			rules = append(rules, bundle.Entitled{By: fmt.Sprintf("root %d (not in the bundle; name the repository with --repo)", file.version-1)})
		}
		return rules
	case file.role == metadata.TARGETS:
		if root := f.newestRoot(); root != nil {
			return []bundle.Entitled{bundle.ByRoot(root, metadata.TARGETS)}
		}
		return []bundle.Entitled{{By: "a root (not in the bundle; name the repository with --repo)"}}
	}
	if targets := f.newestTargets(); targets != nil {
		return []bundle.Entitled{bundle.ByTargets(targets, file.role)}
	}
	return []bundle.Entitled{{By: "a targets file (not in the bundle; name the repository with --repo)"}}
}

// count says who has signed.
func (f *metaFile) count(e bundle.Entitled, labels map[string]string) (Rule, error) {
	s, err := f.doc.Count(f.role, e)
	if err != nil {
		return Rule{}, refuse("%s: %w", f.name, err)
	}
	return Rule{By: s.By, Threshold: s.Need,
		Signed: people(s.Good, labels), Open: people(s.Missing, labels), Wrong: people(s.Wrong, labels)}, nil
}

// words say what a bundle follows.
func (b *Base) words() string {
	if b.Empty() {
		return "nothing: these are the first files of a repository"
	}
	parts := []string{fmt.Sprintf("root %d", b.Root().Signed.Version)}
	if t := b.Targets(); t != nil {
		parts = append(parts, fmt.Sprintf("targets %d", t.Signed.Version))
	}
	for _, product := range b.Products() {
		parts = append(parts, fmt.Sprintf("%s %d", product, b.Role(product).Signed.Version))
	}
	return strings.Join(parts, ", ")
}

// changes says in words what is new in a file.
func (f *folder) changes(file *metaFile) ([]string, error) {
	switch {
	case file.root != nil:
		return rootChanges(f.root(file.version-1), file.root), nil
	case file.role == metadata.TARGETS:
		return f.allTargetsChanges(f.before(file), file.targets)
	}
	return f.productChanges(f.before(file), file)
}

// productChanges names the releases that enter and leave.
func (f *folder) productChanges(old *targetsMeta, file *metaFile) ([]string, error) {
	now, err := bundle.Releases(file.role, file.targets)
	if err != nil {
		return nil, refuse("%s: %w", file.name, err)
	}
	var before []bundle.Entry
	if old != nil {
		before = f.base.Releases(file.role)
	}
	known := map[string]firmware.Blob{}
	for _, e := range before {
		known[e.Path] = e.Blob
	}
	var out []string
	for _, e := range now {
		if known[e.Path] == e.Blob {
			continue
		}
		lines, err := f.releaseWords(file, e)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	out = append(out, channelWords(before, now)...)
	for _, b := range before {
		if file.targets.Signed.Targets[b.Path] == nil {
			out = append(out, fmt.Sprintf("release %s (counter %d) leaves", b.Version, b.Counter))
		}
	}
	if len(out) == 0 {
		out = append(out, "no release enters or leaves: only the expiry is renewed")
	}
	return out, nil
}

// releaseWords tell of a release that enters; the manifest is compared with what is signed.
func (f *folder) releaseWords(file *metaFile, e bundle.Entry) ([]string, error) {
	out := []string{fmt.Sprintf("release %s enters: counter %d, for hardware %s", e.Version, e.Counter, strings.Join(e.Hardware, " "))}
	if e.Channel != firmware.Stable {
		out = append(out, fmt.Sprintf("  channel %s: %s", e.Channel, takers(e.Channel)))
	}
	m, err := f.manifest(e.Path, file.targets.Signed.Targets[e.Path])
	if errors.Is(err, fs.ErrNotExist) {
		return append(out, fmt.Sprintf("  its manifest is not in the bundle; SHA-256 %s", e.SHA256)), nil
	}
	if err != nil {
		return nil, err
	}
	if m.Counter != e.Counter || !slices.Equal(m.Hardware, e.Hardware) {
		return nil, refuse("targets/%s says another counter or hardware than %s", e.Path, file.name)
	}
	return append(out, manifestWords(m)...), nil
}
