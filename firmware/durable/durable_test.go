package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func checkFile(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v, want %q", filepath.Base(path), b, err, want)
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, perm := range []fs.FileMode{0o600, 0o644, 0o666, 0o400, 0o640} {
		want := perm.String()
		if err := WriteFile(path, []byte(want), perm); err != nil {
			t.Fatal(err)
		}
		checkFile(t, path, want)
		if info, err := os.Stat(path); err != nil || info.Mode() != perm {
			t.Errorf("mode is %v, want %v", info.Mode(), perm)
		}
	}
	if got := names(t, filepath.Dir(path)); !slices.Equal(got, []string{"file"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestWriteFileReplacesALinkAndNotWhatItNames(t *testing.T) {
	dir := t.TempDir()
	other, link := filepath.Join(dir, "other"), filepath.Join(dir, "link")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkFile(t, other, "other")
	checkFile(t, link, "new")
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("link is %v, want a file", info.Mode())
	}
}

func TestWriteFileFailsAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "none", "file"), dir, "/dev/null"} {
		if err := WriteFile(path, []byte("x"), 0o600); err == nil {
			t.Errorf("%s is written", path)
		}
	}
	// The folder appears after Create looked, so that the rename fails.
	f, err := Create(filepath.Join(dir, "file"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "file"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("a folder is replaced by a file")
	}
	if got := names(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	checkFile(t, path, "old")
	f.Abort()
	f.Abort()
	checkFile(t, path, "old")
	if f, err = Create(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	checkFile(t, path, "")
	if got := names(t, dir); !slices.Equal(got, []string{"file"}) {
		t.Errorf("folder holds %q", got)
	}
}

func TestSweepTemps(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "file"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // and neither Commit nor Abort: a crash
	for _, name := range []string{"file", "state.0", ".hidden", "x.tmp-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".tmp-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if n := len(names(t, dir)); n != 6 {
		t.Fatalf("folder holds %d entries before, want 6", n)
	}
	if err := SweepTemps(dir); err != nil {
		t.Fatal(err)
	}
	want := []string{".hidden", ".tmp-folder", "file", "state.0", "x.tmp-1"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
	if err := SweepTemps(filepath.Join(dir, "none")); err != nil {
		t.Errorf("no folder: %v", err)
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "sub", "b")
	if err := MkdirAll(filepath.Dir(b), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(a, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Rename(a, b); err != nil {
		t.Fatal(err)
	}
	checkFile(t, b, "x")
	if err := Rename(a, b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename of nothing: %v", err)
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := MkdirAll(deep+"/", 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{deep, filepath.Dir(deep)} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	if err := WriteFile(filepath.Join(deep, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"file", "file/sub"} {
		if err := MkdirAll(filepath.Join(deep, p), 0o700); err == nil {
			t.Errorf("%s is made", p)
		}
	}
	t.Chdir(dir)
	if err := MkdirAll("relative/sub", 0o700); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "relative", "sub")); err != nil || !info.IsDir() {
		t.Errorf("relative folder: %v", err)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path, filepath.Join(dir, "none", "file")} {
		if err := Remove(p); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("folder holds %q", got)
	}
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err == nil {
		t.Error("a folder with a file in it is removed")
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	if err := SyncDir(dir); err != nil {
		t.Error(err)
	}
	if err := SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "sync folder") {
		t.Errorf("got %v", err)
	}
}
