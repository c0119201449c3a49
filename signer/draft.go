package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Draft is what a command made, for people and for --json.
type Draft struct {
	*View
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// drafts are the metadata files of a bundle to be.
type drafts struct {
	root     *rootMeta
	targets  *targetsMeta
	products map[string]*targetsMeta
	policy   []byte // the log policy, if it changes
}

// files encodes the drafts under their names in a bundle.
func (d drafts) files() (map[string][]byte, error) {
	files := map[string][]byte{}
	if d.root != nil {
		data, err := bundle.Encode(d.root)
		if err != nil {
			return nil, err
		}
		files[bundle.MetadataName(d.root.Signed.Version, metadata.ROOT)] = data
	}
	roles := maps.Clone(d.products)
	if roles == nil {
		roles = map[string]*targetsMeta{}
	}
	if d.targets != nil {
		roles[metadata.TARGETS] = d.targets
	}
	for role, m := range roles {
		data, err := bundle.Encode(m)
		if err != nil {
			return nil, err
		}
		files[bundle.MetadataName(m.Signed.Version, role)] = data
	}
	return files, nil
}

// write puts the drafts, and what they follow, into a bundle's folder.
func (d drafts) write(dir string, base *Base) error {
	files, err := d.files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(dir, name, files[name]); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if d.policy != nil {
		if err := writeFile(dir, "targets/"+tlog.PolicyPath, d.policy); err != nil {
			return fmt.Errorf("writing the log policy: %w", err)
		}
	}
	if base == nil {
		return nil
	}
	return base.carry(dir)
}

// writeDraft makes the bundle out of drafts and shows it.
func writeDraft(ctx context.Context, out string, d drafts, base *Base, warnings []string) (*Draft, error) {
	err := stage(ctx, out, func(dir string) error { return d.write(dir, base) })
	if err != nil {
		return nil, err
	}
	return readDraft(out, base, warnings)
}

// readDraft reads a bundle again, as it was written. base is what it carries; nil is read with it.
func readDraft(dir string, base *Base, warnings []string) (*Draft, error) {
	var err error
	if base == nil {
		if base, err = baseOf(dir, "", ""); err != nil {
			return nil, err
		}
	}
	f, err := readFolder(dir, base)
	if err != nil {
		return nil, err
	}
	v, err := f.view()
	if err != nil {
		return nil, err
	}
	return &Draft{View: v, Warnings: warnings}, nil
}

// redraft changes the targets file of a bundle that is not published yet: in place, or as a copy in o.Out.
// A changed file has no signatures.
func redraft(ctx context.Context, o ProductOptions, change func(*drafts) error) (*Draft, error) {
	base, err := baseOf(o.Bundle, "", "")
	if err != nil {
		return nil, err
	}
	if err := base.checkClock(o.Now); err != nil {
		return nil, err
	}
	f, err := readFolder(o.Bundle, base)
	if err != nil {
		return nil, err
	}
	var d drafts
	for _, file := range f.files {
		if file.role == metadata.TARGETS {
			d.targets = file.targets
		}
	}
	if d.targets == nil {
		return nil, refuse("bundle %s has no targets file to change; name the repository with --repo", o.Bundle)
	}
	var warnings []string
	if len(d.targets.Signatures) > 0 {
		warnings = append(warnings, "the targets file was signed already; it changes, so it must be signed again")
	}
	if d.targets, err = cloneMeta(d.targets); err != nil {
		return nil, err
	}
	if err := change(&d); err != nil {
		return nil, err
	}
	stamp(&d.targets.Signed.UnrecognizedFields, &d.targets.Signed.Expires, o.Now, o.Lifetime)
	if o.Out == "" {
		if err := d.write(o.Bundle, nil); err != nil {
			return nil, err
		}
		return readDraft(o.Bundle, nil, warnings)
	}
	err = stage(ctx, o.Out, func(dir string) error {
		return errors.Join(copyTree(ctx, o.Bundle, dir), d.write(dir, nil))
	})
	if err != nil {
		return nil, err
	}
	return readDraft(o.Out, nil, warnings)
}

// stage makes the folder out whole or not at all: fill works in a folder beside it, which takes its name at the end.
// A crash leaves a folder ".tmp-…", which may be removed.
func stage(ctx context.Context, out string, fill func(dir string) error) error {
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s exists already: choose another --out, or remove it first", out)
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := durable.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, ".tmp-"+filepath.Base(out)+"-")
	if err != nil {
		return fmt.Errorf("making %s: %w", out, err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", out, err)
	}
	if err := errors.Join(fill(dir), ctx.Err()); err != nil {
		return err
	}
	if err := durable.Rename(dir, out); err != nil {
		return fmt.Errorf("putting the bundle in its place: %w", err)
	}
	return nil
}

// copyTree copies the regular files of a bundle.
func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir():
			return durable.MkdirAll(filepath.Join(to, name), 0o755)
		case !e.Type().IsRegular():
			return refuse("%s is not a regular file; bundles hold no others", path)
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying the bundle: %w", err)
	}
	defer in.Close()
	out, err := durable.Create(to, 0o644)
	if err != nil {
		return err
	}
	defer out.Abort()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return out.Commit()
}
