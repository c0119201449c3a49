// Package logdir is the log itself: an append-only tree of entries in a folder,
// in the files of C2SP tlog-tiles, with Tessera's storage for POSIX file
// systems.
//
// # The folder
//
//	checkpoint            the newest signed checkpoint, with the cosignatures that were collected
//	tile/…                hashes
//	tile/entries/…        entries, 256 to a file
//	.state/               Tessera's own
//
// All but .state may be served as it lies. The log's key is not here.
//
// # Order of writes
//
// Entries, then hashes, then the state of the tree, then the checkpoint, each
// durable before the next. A crash leaves entries that no checkpoint covers yet;
// the next Add covers them. Add looks among the newest entries before it adds,
// so that work which is repeated after a crash adds nothing twice.
//
// # Not promised
//
// One writer at a time: the caller holds a lock. A folder that was restored
// from an old backup grows again from where it was, with other entries in the
// places of lost ones; witnesses and monitors refuse that as a second face.
// Restore the newest copy, or begin a new log under a new name.
package logdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logkey"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
)

// lookBack is how many of the newest entries Add compares before it adds.
const lookBack = 1024

// patience is how long Add waits for the checkpoint that covers what it added.
const patience = 30 * time.Second

// gathering is how long Add waits for the rest of what it adds, where some of
// it was there before.
const gathering = time.Second

// Log is a log to which entries can be added.
type Log struct {
	logread.Reader
	dir      string
	signer   note.Signer
	verifier note.Verifier
}

// Open opens the log in dir, or begins one there at the first Add. skey is as
// logkey.New made it.
func Open(dir, skey string) (*Log, error) {
	vkey, err := logkey.Public(skey)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	return &Log{Reader: logread.Folder(os.DirFS(dir)), dir: dir, signer: signer, verifier: verifier}, nil
}

// Origin is the log's name.
func (l *Log) Origin() string { return l.signer.Name() }

// Add puts entries into the log, in their order, and returns their numbers once
// a signed checkpoint covers them. One that stands among the newest already
// keeps its number.
func (l *Log) Add(ctx context.Context, entries [][]byte) ([]uint64, error) {
	indexes, err := l.add(ctx, entries)
	if err != nil {
		return nil, fmt.Errorf("adding to the log %s: %w", l.Origin(), err)
	}
	return indexes, nil
}

func (l *Log) add(ctx context.Context, entries [][]byte) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := durable.MkdirAll(l.dir, 0o755); err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: l.dir})
	if err != nil {
		return nil, err
	}
	// Two batches in flight may change places, so all of them are one.
	options := tessera.NewAppendOptions().WithCheckpointSigner(l.signer).
		WithCheckpointInterval(100*time.Millisecond).WithBatching(uint(max(1, len(entries))), gathering).
		WithGarbageCollectionInterval(100 * time.Millisecond)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return nil, err
	}
	known, err := l.recent(ctx, reader)
	if err != nil {
		return nil, err
	}
	indexes, err := l.await(ctx, appender, reader, entries, known)
	if err != nil {
		return nil, err
	}
	return indexes, shutdown(ctx)
}

// recent are the newest entries by their hashes.
func (l *Log) recent(ctx context.Context, reader tessera.LogReader) (map[firmware.Digest]uint64, error) {
	size, err := reader.IntegratedSize(ctx)
	if err != nil {
		return nil, err
	}
	return l.find(ctx, size-min(size, lookBack), size)
}

func (l *Log) find(ctx context.Context, from, size uint64) (map[firmware.Digest]uint64, error) {
	known := map[firmware.Digest]uint64{}
	err := l.Entries(ctx, from, size, func(index uint64, entry []byte) error {
		if _, earlier := known[tlog.Hash(entry)]; !earlier {
			known[tlog.Hash(entry)] = index
		}
		return nil
	})
	return known, err
}

func (l *Log) await(ctx context.Context, a *tessera.Appender, reader tessera.LogReader, entries [][]byte, known map[firmware.Digest]uint64) ([]uint64, error) {
	var futures []tessera.IndexFuture
	for _, entry := range entries {
		if len(entry) > tlog.MaxLeaf {
			return nil, fmt.Errorf("an entry of %d bytes; at most %d are allowed", len(entry), tlog.MaxLeaf)
		}
		future := func() (tessera.Index, error) { return tessera.Index{Index: known[tlog.Hash(entry)], IsDup: true}, nil }
		if _, there := known[tlog.Hash(entry)]; !there {
			future = a.Add(ctx, tessera.NewEntry(entry))
		}
		futures = append(futures, future)
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 10*time.Millisecond)
	indexes := make([]uint64, len(futures))
	for i, future := range futures {
		index, _, err := awaiter.Await(ctx, future)
		if err != nil {
			return nil, err
		}
		indexes[i] = index.Index
	}
	return indexes, nil
}

// Find looks through the whole log for entries, and returns the numbers of
// those that it has.
func (l *Log) Find(ctx context.Context, entries [][]byte) (map[firmware.Digest]uint64, error) {
	c, err := l.Newest(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := l.find(ctx, 0, c.Size)
	if err != nil {
		return nil, err
	}
	found := map[firmware.Digest]uint64{}
	for _, entry := range entries {
		if index, ok := all[tlog.Hash(entry)]; ok {
			found[tlog.Hash(entry)] = index
		}
	}
	return found, nil
}

// Newest is the newest checkpoint as it was signed. fs.ErrNotExist: there is
// none yet.
func (l *Log) Newest(ctx context.Context) (Signed, error) {
	raw, err := l.Checkpoint(ctx)
	if err != nil {
		return Signed{}, err
	}
	c, err := tlog.ReadCheckpoint(raw)
	if err != nil {
		return Signed{}, fmt.Errorf("the checkpoint of log %s: %w", l.Origin(), err)
	}
	return Signed{c, raw}, nil
}

// Own is the newest checkpoint with the log's own signature alone, verified.
func (l *Log) Own(ctx context.Context) (Signed, error) {
	c, err := l.Newest(ctx)
	if err != nil {
		return c, err
	}
	n, err := note.Open(c.Bytes, note.VerifierList(l.verifier))
	if err == nil {
		c.Bytes, err = note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	}
	if err != nil {
		return c, fmt.Errorf("the checkpoint of log %s is not signed by its key: %w", l.Origin(), err)
	}
	return c, nil
}

// Signed is a checkpoint and its bytes.
type Signed struct {
	tlog.Checkpoint
	Bytes []byte
}

// Keep puts a checkpoint with more signatures in the place of the newest, for
// others to read. It must be the same checkpoint.
func (l *Log) Keep(ctx context.Context, raw []byte) error {
	now, err := l.Newest(ctx)
	if err != nil {
		return err
	}
	text, _, _ := bytes.Cut(now.Bytes, []byte("\n\n"))
	if !bytes.HasPrefix(raw, append(text, "\n\n"...)) {
		return fmt.Errorf("the log %s has another checkpoint by now", l.Origin())
	}
	if bytes.Equal(now.Bytes, raw) {
		return nil
	}
	return durable.WriteFile(filepath.Join(l.dir, "checkpoint"), raw, 0o644)
}

// Prove makes the proof of entry number index for a checkpoint of this log.
func (l *Log) Prove(ctx context.Context, index uint64, checkpoint Signed) ([]byte, error) {
	hashes, err := l.Inclusion(ctx, index, checkpoint.Size)
	if err != nil {
		return nil, fmt.Errorf("proving entry %d of log %s: %w", index, l.Origin(), err)
	}
	return tlog.Proof{Index: index, Hashes: hashes, Checkpoint: checkpoint.Bytes}.Encode(), nil
}
