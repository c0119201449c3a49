package logread_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
)

func TestWhatIsNotThereOrTooLarge(t *testing.T) {
	ctx := context.Background()
	files := fstest.MapFS{}
	r := logread.Folder(files)
	if _, err := r.Checkpoint(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no checkpoint: %v", err)
	}
	files["checkpoint"] = &fstest.MapFile{Data: make([]byte, tlog.MaxProof+1)}
	if _, err := r.Checkpoint(ctx); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a checkpoint that is too large: %v", err)
	}
	visit := func(uint64, []byte) error { return nil }
	if err := r.Entries(ctx, 0, 2, visit); err == nil {
		t.Error("entries of nothing")
	}
	files["tile/entries/000.p/2"] = &fstest.MapFile{Data: []byte("\x00\x01a")} // one of two
	if err := r.Entries(ctx, 0, 2, visit); err == nil {
		t.Error("an entry is missing, and nobody says so")
	}
	files["tile/entries/000.p/2"] = &fstest.MapFile{Data: []byte("\x00\x01a\x00\x02bc")}
	var got []string
	err := r.Entries(ctx, 1, 2, func(i uint64, e []byte) error { got = append(got, string(e)); return nil })
	if err != nil || len(got) != 1 || got[0] != "bc" {
		t.Errorf("%q, %v", got, err)
	}
}

// A log that grew while it was read: the partial file has gone, the full one is there.
func TestPartThatHasBecomeWhole(t *testing.T) {
	w := tlogtest.New(t, "fw.example.com/releases", 0)
	dir := t.TempDir()
	l := w.Open(t, dir)
	var entries [][]byte
	for range 256 {
		entries = append(entries, bytes.Repeat([]byte("e"), len(entries)+1))
	}
	if _, err := l.Add(context.Background(), entries); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := l.Entries(context.Background(), 3, 100, func(i uint64, e []byte) error {
		if n++; len(e) != int(i)+1 {
			t.Errorf("entry %d is %q", i, e)
		}
		return nil
	})
	if err != nil || n != 97 {
		t.Errorf("%d entries, %v", n, err)
	}
	if _, err := l.Inclusion(context.Background(), 7, 100); err != nil {
		t.Error(err)
	}
}

// What a log serves may be anything: it is an error, or is found out by whoever holds it against a root.
func FuzzFiles(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x02bc"), uint64(2), uint64(1))
	f.Add(bytes.Repeat([]byte{1}, 96), uint64(3), uint64(2))
	f.Add([]byte{}, uint64(300), uint64(299))
	f.Fuzz(func(t *testing.T, b []byte, size, at uint64) {
		size %= 600
		files := fstest.MapFS{}
		for _, name := range []string{"tile/entries/000", "tile/entries/001", "tile/entries/002", "tile/0/000", "tile/0/001", "tile/0/002", "tile/1/000"} {
			files[name] = &fstest.MapFile{Data: b}
		}
		r, ctx := logread.Folder(files), context.Background()
		_ = r.Entries(ctx, at, size, func(uint64, []byte) error { return nil })
		_, _ = r.Inclusion(ctx, at, size)
		_, _ = r.Consistency(ctx, at, size)
	})
}
