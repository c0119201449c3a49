package logdir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
)

const origin = "fw.example.com/releases"

func add(t *testing.T, l *logdir.Log, from, to int) []uint64 {
	t.Helper()
	var entries [][]byte
	for i := from; i < to; i++ {
		entries = append(entries, fmt.Appendf(nil, "entry %d", i))
	}
	indexes, err := l.Add(context.Background(), entries)
	if err != nil {
		t.Fatal(err)
	}
	return indexes
}

func TestEntriesAreProved(t *testing.T) {
	ctx := context.Background()
	w := tlogtest.New(t, origin, 0)
	l := w.Open(t, t.TempDir())
	if _, err := l.Newest(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a log without entries: %v", err)
	}
	add(t, l, 0, 3)
	add(t, l, 3, 4)
	add(t, l, 4, 600) // more than two files of entries
	newest, err := l.Newest(ctx)
	if err != nil || newest.Size != 600 || newest.Origin != origin {
		t.Fatalf("%+v, %v", newest, err)
	}
	policy := tlogtest.Parse(t, w.Policy(0))
	for _, i := range []uint64{0, 2, 3, 255, 256, 511, 599} {
		raw, err := l.Prove(ctx, i, newest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := policy.Verify(fmt.Appendf(nil, "entry %d", i), raw)
		if err != nil || got.Index != i {
			t.Errorf("entry %d: %+v, %v", i, got, err)
		}
	}
}

func TestNothingIsAddedTwice(t *testing.T) {
	w := tlogtest.New(t, origin, 0)
	dir := t.TempDir()
	add(t, w.Open(t, dir), 0, 5)
	if got := add(t, w.Open(t, dir), 3, 7); fmt.Sprint(got) != "[3 4 5 6]" {
		t.Errorf("numbers %v", got)
	}
	if got := add(t, w.Open(t, dir), 0, 1); fmt.Sprint(got) != "[0]" {
		t.Errorf("numbers %v", got)
	}
	found, err := w.Open(t, dir).Find(context.Background(), [][]byte{[]byte("entry 4"), []byte("entry 9")})
	if err != nil || len(found) != 1 || found[tlog.Hash([]byte("entry 4"))] != 4 {
		t.Errorf("%v, %v", found, err)
	}
}

// A crash after the tree has grown and before the checkpoint was written.
func TestLostCheckpointIsMadeAgain(t *testing.T) {
	ctx := context.Background()
	w := tlogtest.New(t, origin, 0)
	dir := t.TempDir()
	add(t, w.Open(t, dir), 0, 2)
	old, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	add(t, w.Open(t, dir), 2, 4)
	if err := os.WriteFile(filepath.Join(dir, "checkpoint"), old, 0o644); err != nil {
		t.Fatal(err)
	}
	l := w.Open(t, dir)
	if got := add(t, l, 3, 4); fmt.Sprint(got) != "[3]" {
		t.Errorf("numbers %v", got)
	}
	if newest, err := l.Newest(ctx); err != nil || newest.Size != 4 {
		t.Errorf("%+v, %v", newest, err)
	}
}

func TestKeepTakesTheSameCheckpointOnly(t *testing.T) {
	ctx := context.Background()
	w := tlogtest.New(t, origin, 1)
	l := w.Open(t, t.TempDir())
	proof, err := tlog.ParseProof(w.Prove(t, l, w.Policy(1), []byte("a")))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Keep(ctx, proof.Checkpoint); err != nil {
		t.Fatal(err)
	}
	newest, err := l.Newest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tlogtest.Parse(t, w.Policy(1)).Checkpoint(newest.Bytes); err != nil {
		t.Errorf("what is served is not cosigned: %v", err)
	}
	add(t, l, 0, 1)
	if err := l.Keep(ctx, proof.Checkpoint); err == nil {
		t.Error("an old checkpoint took the place of the newest")
	}
}

func TestNamesOfFiles(t *testing.T) {
	dir := t.TempDir()
	w := tlogtest.New(t, origin, 0)
	add(t, w.Open(t, dir), 0, 300)
	files := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if e.IsDir() && e.Name() == ".state" {
			return fs.SkipDir
		}
		if err != nil || e.IsDir() {
			return err
		}
		files++
		if fixed, ok := logread.Name(name); !ok || fixed == (name == "checkpoint") {
			t.Errorf("%s: fixed %v, served %v", name, fixed, ok)
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
	for _, name := range []string{".state/treeState", "tile/0/0", "tile/64/000", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/x1/000",
		"tile/entries/../000", "checkpoint/", "tile/00/000", "tile/0/000.p/01"} {
		if _, ok := logread.Name(name); ok {
			t.Errorf("%s is served", name)
		}
	}
}

// BenchmarkAdd is the cost of a release: the log opened, one entry added, the
// checkpoint there.
func BenchmarkAdd(b *testing.B) {
	w := tlogtest.New(b, origin, 0)
	dir := b.TempDir()
	n := 0
	for b.Loop() {
		l := w.Open(b, dir)
		if _, err := l.Add(context.Background(), [][]byte{fmt.Appendf(nil, "entry %d", n)}); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
