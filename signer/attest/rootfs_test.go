package attest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/signer/attest"
	read "github.com/fairlead/fairlead/tufrepo/attest"
)

func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var rootfs = map[string]map[string]string{
	"deb": {
		"etc/os-release": "PRETTY_NAME=\"Debian\"\nID=debian\n",
		"var/lib/dpkg/status": "Package: openssl\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1:3.0.15-1+deb12u1\nDescription: a: b\n more: text\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: arm64\n",
		"usr/share/doc/openssl/copyright": "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: Apache-2.0\n text\n\nFiles: x\nLicense: Artistic or GPL-1+\n",
		"usr/share/doc/bash/copyright":    "This is bash.\nLicense: of a kind\n",
	},
	"apk":        {"etc/os-release": "ID=\"alpine\"\n", "lib/apk/db/installed": "C:Q1\nP:musl\nV:1.2.5-r0\nA:aarch64\nL:MIT\n\nP:busybox\nV:1.36-r1\nL:GPL-2.0-only\n"},
	"opkg":       {"usr/lib/opkg/status": "Package: dropbear\nVersion: 2022.83-1\nArchitecture: mips\nStatus: install user installed\n\n"},
	"distroless": {"var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2025b-0\nArchitecture: all\n", "var/lib/dpkg/status.d/tzdata.md5sums": "x"},
}

func TestFromDir(t *testing.T) {
	for name, want := range map[string][]read.Package{
		"deb": {
			{Name: "bash", Version: "5.2-1", PURL: "pkg:deb/debian/bash@5.2-1?arch=arm64"},
			{Name: "openssl", Version: "1:3.0.15-1+deb12u1", PURL: "pkg:deb/debian/openssl@1:3.0.15-1%2Bdeb12u1?arch=arm64", Licenses: []string{"Apache-2.0", "Artistic or GPL-1+"}},
		},
		"apk": {
			{Name: "busybox", Version: "1.36-r1", PURL: "pkg:apk/alpine/busybox@1.36-r1", Licenses: []string{"GPL-2.0-only"}},
			{Name: "musl", Version: "1.2.5-r0", PURL: "pkg:apk/alpine/musl@1.2.5-r0?arch=aarch64", Licenses: []string{"MIT"}},
		},
		"opkg":       {{Name: "dropbear", Version: "2022.83-1", PURL: "pkg:opkg/dropbear@2022.83-1?arch=mips"}},
		"distroless": {{Name: "tzdata", Version: "2025b-0", PURL: "pkg:deb/tzdata@2025b-0?arch=all"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, rootfs[name])
			raw, err := attest.FromDir(dir, attest.Subject{Product: "cam", Version: "1.0.0"})
			if err != nil {
				t.Fatal(err)
			}
			again, err := attest.FromDir(dir, attest.Subject{Product: "cam", Version: "1.0.0"})
			if err != nil || !bytes.Equal(raw, again) {
				t.Errorf("the same folder gives other bytes: %v", err)
			}
			s, err := read.ParseSBOM(raw)
			if err != nil || len(s.Packages) != len(want) {
				t.Fatalf("%v\n%s", err, raw)
			}
			for i, p := range s.Packages {
				if p.String() != want[i].String() || p.PURL != want[i].PURL || strings.Join(p.Licenses, ";") != strings.Join(want[i].Licenses, ";") {
					t.Errorf("got %+v, want %+v", p, want[i])
				}
			}
		})
	}
}

func TestFromDirRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":      {map[string]string{"etc/hostname": "x"}, "no package database of dpkg, apk or opkg names a package there"},
		"no version":   {map[string]string{"lib/apk/db/installed": "P:musl\n"}, "lib/apk/db/installed: a package has no name or no version"},
		"endless line": {map[string]string{"lib/apk/db/installed": "P:" + strings.Repeat("x", 2<<20)}, "token too long"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, tt.files)
			if _, err := attest.FromDir(dir, attest.Subject{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// A link of the image leads to the image's own files, never to the host's.
func TestFromDirStaysInside(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	put(t, outside, rootfs["apk"])
	if err := os.Symlink(filepath.Join(outside, "lib"), filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	if raw, err := attest.FromDir(dir, attest.Subject{}); err == nil {
		t.Errorf("packages of the host are in it:\n%s", raw)
	}
}

func FuzzFromDir(f *testing.F) {
	for _, files := range rootfs {
		for _, text := range files {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		put(t, dir, map[string]string{"etc/os-release": text, "var/lib/dpkg/status": text, "lib/apk/db/installed": text, "usr/share/doc/a/copyright": text})
		raw, err := attest.FromDir(dir, attest.Subject{Product: "cam", Version: "1"})
		if err != nil {
			return
		}
		if _, err := read.ParseSBOM(raw); err != nil {
			t.Errorf("what was made cannot be read: %v\n%s", err, raw)
		}
	})
}
