package boot

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fairlead/fairlead/firmware/durable"
)

// diaryFS notes the writes and syncs of files.
type diaryFS struct {
	durable.System
	notes *[]string
}

func (d diaryFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.Handle, error) {
	h, err := d.System.OpenFile(name, flag, perm)
	return diaryHandle{h, d.notes}, err
}

type diaryHandle struct {
	durable.Handle
	notes *[]string
}

func (d diaryHandle) WriteAt(p []byte, off int64) (int, error) {
	*d.notes = append(*d.notes, fmt.Sprint("write ", filepath.Base(d.Name()), " at ", off))
	return d.Handle.WriteAt(p, off)
}

func (d diaryHandle) Sync() error {
	*d.notes = append(*d.notes, "sync "+filepath.Base(d.Name()))
	return d.Handle.Sync()
}

// TestUBootsOwnWriteIsFlushedFirst: what U-Boot wrote may not be durable yet. An agent that wrote over the other copy before it
// was had none left when the power went.
func TestUBootsOwnWriteIsFlushedFirst(t *testing.T) {
	var notes []string
	blank := make([]byte, testSize)
	u := newUBoot(t, fastDir(t), blank, blank)
	u.disk = durable.Disk{FS: diaryFS{notes: &notes}}
	must(t, u.save(goldenRecord.variables()))
	u.play(goldenRecord.variables()) // over the copy at 0
	notes = nil
	must(t, u.save(goldenRecord.variables()))
	want := []string{"sync disk", "sync disk", "write disk at 1024", "sync disk", "write disk at 0", "sync disk"}
	if !slices.Equal(notes, want) {
		t.Errorf("%q, want %q", notes, want)
	}
	both, newest, err := u.both()
	if err != nil || newest < 0 || both[0].err != nil || both[1].err != nil {
		t.Errorf("%+v, %v", both, err)
	}
}

// TestTheBlockThatHoldsIsWrittenLast: an agent that began with env.0 had no whole block left when env.1 was torn from an earlier
// cut and the power went.
func TestTheBlockThatHoldsIsWrittenLast(t *testing.T) {
	for holds, want := range [][]string{
		{"write env.1 at 0", "sync env.1", "write env.0 at 0", "sync env.0"},
		{"write env.0 at 0", "sync env.0", "write env.1 at 0", "sync env.1"},
	} {
		var notes []string
		g := newGRUB(t, fastDir(t), goldenGRUB)
		g.disk = durable.Disk{FS: diaryFS{notes: &notes}}
		if holds == 1 {
			must(t, overwrite(durable.Disk{}, g.paths[0], 0, make([]byte, grubSize)))
		}
		must(t, g.save(goldenRecord.variables()))
		if !slices.Equal(notes, want) {
			t.Errorf("env.%d holds: %q, want %q", holds, notes, want)
		}
	}
}
