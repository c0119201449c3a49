package attest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	maxDatabase  = 64 << 20 // bytes of one package database
	maxCopyright = 1 << 20  // bytes of one copyright file; of a longer one nothing is read
	maxLine      = 1 << 20
)

// Subject is what the SBOM is about.
type Subject struct{ Product, Version string }

// pkg is an installed package.
type pkg struct {
	kind                string // of its package URL: deb, apk, opkg
	name, version, arch string
	licenses            []string
}

// FromDir makes an SBOM of the root file system in dir. A folder in which no package database lies is an error.
func FromDir(dir string, about Subject) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("making an SBOM: %w", err)
	}
	defer root.Close()
	fsys := root.FS()
	packages, err := installed(fsys)
	if err != nil {
		return nil, fmt.Errorf("making an SBOM of %s: %w", dir, err)
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("making an SBOM of %s: no package database of dpkg, apk or opkg names a package there: give the root folder of the image's file system, or an SBOM with --sbom", dir)
	}
	return encode(packages, distribution(fsys), about)
}

func installed(fsys fs.FS) ([]pkg, error) {
	deb := []string{"var/lib/dpkg/status"}
	more, err := fs.Glob(fsys, "var/lib/dpkg/status.d/*")
	if err != nil {
		return nil, err
	}
	for _, name := range more {
		if !strings.HasSuffix(name, ".md5sums") {
			deb = append(deb, name)
		}
	}
	var all []pkg
	for _, db := range []struct {
		files []string
		take  func(fields map[string]string) (pkg, bool)
	}{
		{deb, debPackage},
		{[]string{"lib/apk/db/installed", "usr/lib/apk/db/installed"}, apkPackage},
		{[]string{"usr/lib/opkg/status", "var/lib/opkg/status"}, opkgPackage},
	} {
		for _, name := range db.files {
			found, err := readDatabase(fsys, name, db.take)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, found...)
		}
	}
	for i := range all {
		if all[i].kind == "deb" {
			all[i].licenses = copyright(fsys, all[i].name)
		}
	}
	slices.SortFunc(all, func(a, b pkg) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name), cmp.Compare(a.arch, b.arch), cmp.Compare(a.version, b.version))
	})
	return slices.CompactFunc(all, func(a, b pkg) bool {
		return a.kind == b.kind && a.name == b.name && a.arch == b.arch && a.version == b.version
	}), nil
}

// readDatabase reads paragraphs of "Field: value", or of apk's "F:value". A file that is not there has none.
func readDatabase(fsys fs.FS, name string, take func(map[string]string) (pkg, bool)) ([]pkg, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxDatabase {
		return nil, fmt.Errorf("it is no regular file of at most %d bytes", maxDatabase)
	}
	return paragraphs(io.LimitReader(f, maxDatabase), take)
}

func paragraphs(r io.Reader, take func(map[string]string) (pkg, bool)) ([]pkg, error) {
	var all []pkg
	fields := map[string]string{}
	end := func() error {
		if len(fields) == 0 {
			return nil
		}
		p, ok := take(fields)
		clear(fields)
		if !ok {
			return nil
		}
		if p.name == "" || p.version == "" {
			return fmt.Errorf("a package has no name or no version (%.80q %.80q)", p.name, p.version)
		}
		all = append(all, p)
		return nil
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" {
			if err := end(); err != nil {
				return nil, err
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if ok && line[0] != ' ' && line[0] != '\t' { // else the last field goes on
			fields[name] = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return all, end()
}

func debPackage(f map[string]string) (pkg, bool) {
	// A package of status.d, as images without dpkg have them, has no status.
	words := strings.Fields(f["Status"])
	return pkg{kind: "deb", name: f["Package"], version: f["Version"], arch: f["Architecture"]},
		len(words) == 0 || words[len(words)-1] == "installed"
}

func apkPackage(f map[string]string) (pkg, bool) {
	p := pkg{kind: "apk", name: f["P"], version: f["V"], arch: f["A"]}
	if f["L"] != "" {
		p.licenses = []string{f["L"]}
	}
	return p, true
}

func opkgPackage(f map[string]string) (pkg, bool) {
	p, ok := debPackage(f)
	p.kind = "opkg"
	if f["License"] != "" {
		p.licenses = []string{f["License"]}
	}
	return p, ok
}

// copyright names the licences in a package's copyright file, where that is in Debian's machine-readable form 1.0.
func copyright(fsys fs.FS, name string) []string {
	file := path.Join("usr/share/doc", name, "copyright")
	st, err := fs.Stat(fsys, file)
	if err != nil || !fs.ValidPath(file) || !st.Mode().IsRegular() || st.Size() > maxCopyright {
		return nil
	}
	raw, err := fs.ReadFile(fsys, file)
	if err != nil || !bytes.HasPrefix(raw, []byte("Format:")) {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		license, ok := strings.CutPrefix(line, "License:")
		if license = strings.TrimSpace(license); ok && license != "" && !slices.Contains(found, license) {
			found = append(found, license)
		}
	}
	slices.Sort(found)
	return found
}

// distribution is the ID of os-release, such as "debian"; "" if there is none.
func distribution(fsys fs.FS) string {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		raw, err := fs.ReadFile(fsys, name)
		if err != nil || len(raw) > maxCopyright {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			if id, ok := strings.CutPrefix(line, "ID="); ok {
				return strings.Trim(strings.TrimSpace(id), `"'`)
			}
		}
	}
	return ""
}

// purl is the package URL: pkg:deb/debian/openssl@3.0.15-1?arch=arm64.
func (p pkg) purl(distro string) string {
	parts := []string{"pkg:" + p.kind}
	if distro != "" && p.kind != "opkg" {
		parts = append(parts, url.PathEscape(distro))
	}
	u := strings.Join(append(parts, escape(p.name)), "/") + "@" + escape(p.version)
	if p.arch != "" {
		u += "?arch=" + url.QueryEscape(p.arch)
	}
	return u
}

// escape leaves what a package URL leaves: letters, digits and . - _ ~ and the colon.
func escape(s string) string {
	return strings.NewReplacer("+", "%2B", "@", "%40", "&", "%26", "=", "%3D", "$", "%24").Replace(url.PathEscape(s))
}

// The members of CycloneDX 1.6 that are written, in its own order.
type (
	document struct {
		BOMFormat   string `json:"bomFormat"`
		SpecVersion string `json:"specVersion"`
		Version     int    `json:"version"`
		Metadata    struct {
			Component component `json:"component"`
		} `json:"metadata"`
		Components []component `json:"components"`
	}
	component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref,omitempty"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Licenses []license `json:"licenses,omitempty"`
		PURL     string    `json:"purl,omitempty"`
	}
	license struct {
		License struct {
			Name string `json:"name"`
		} `json:"license"`
	}
)

func encode(packages []pkg, distro string, about Subject) ([]byte, error) {
	doc := document{BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1}
	doc.Metadata.Component = component{Type: "firmware", Name: about.Product, Version: about.Version}
	for _, p := range packages {
		c := component{Type: "library", Name: p.name, Version: p.version, PURL: p.purl(distro)}
		c.Ref = c.PURL
		for _, name := range p.licenses {
			var l license
			l.License.Name = name
			c.Licenses = append(c.Licenses, l)
		}
		doc.Components = append(doc.Components, c)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(doc); err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return out.Bytes(), nil
}
