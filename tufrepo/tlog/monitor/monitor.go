// Package monitor follows a log: it reads every entry there is, and keeps what
// it has seen, so that a log cannot take anything back.
//
// # What it checks
//
// That the newest checkpoint is signed by the log's key. That all entries, those
// seen before and the new ones, add up to the checkpoint's root: so it is the
// same log as last time, with entries added at its end and nothing else, and no
// entry is hidden from the monitor. That checkpoints which others were shown,
// such as those in the proofs that devices get, belong to the same log. And
// which entries nobody has announced.
//
// # Files
//
// monitor.0, monitor.1 in its folder: a two-copy state file (package durable) of
// JSON with the log's origin, the newest checkpoint, the hashes of the tree so
// far (its compact range), and the entries that nobody had announced yet. When
// two faces are found, both checkpoints are laid beside it as evidence-*.txt,
// and the state stays as it was.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
)

// ErrTwoFaces says that the log has shown something else than before, or to
// others: it was forged, rewritten, or put back.
var ErrTwoFaces = errors.New("the log shows two faces")

// Config is what a monitor works with. Policy, Log and Dir are required.
type Config struct {
	Policy *tlog.Policy // names the log's key, and the witnesses
	Log    logread.Reader
	Dir    string // belongs to the monitor; made if need be
	// Announced tells whether somebody has announced the release; nil accepts
	// every entry.
	Announced func(entry []byte) bool
	// Seen are checkpoints, or whole proofs, that others were shown.
	Seen map[string][]byte
}

// Entry is an entry of the log.
type Entry struct {
	Index uint64 `json:"index"`
	// Release is the entry, if it is that of a release; else Text has it.
	Release *tlog.Leaf `json:"release,omitempty"`
	Text    string     `json:"text,omitempty"`
}

// Report is what a monitor found.
type Report struct {
	Origin   string          `json:"origin"`
	Before   uint64          `json:"before"` // entries that were there last time
	Size     uint64          `json:"size"`   // and now
	Root     firmware.Digest `json:"root"`
	Cosigned []string        `json:"cosigned"` // witnesses of the policy
	Quorum   bool            `json:"quorum"`   // they are enough; if not, the publisher may be at work just now
	Compared int             `json:"compared"` // checkpoints that others were shown
	// Unannounced are all entries up to now that nobody has announced, at most
	// 1,000; More counts the rest.
	Unannounced []Entry `json:"unannounced"`
	More        int     `json:"more,omitempty"`
}

// most is how many unannounced entries are kept.
const most = 1000

// state is what is kept.
type state struct {
	Schema      int               `json:"schema"`
	Origin      string            `json:"origin"`
	Size        uint64            `json:"size"`
	Root        firmware.Digest   `json:"root"`
	Range       []firmware.Digest `json:"range"` // compact range of all entries
	Checkpoint  string            `json:"checkpoint"`
	Unannounced []Entry           `json:"unannounced,omitempty"`
	More        int               `json:"more,omitempty"`
}

const (
	stateName   = "monitor"
	stateSchema = 1
)

// Run looks at the log once. Errors: ErrTwoFaces; those of reading the log, after
// which nothing has changed.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := durable.MkdirAll(c.Dir, 0o755); err != nil {
		return Report{}, fmt.Errorf("monitoring a log: %w", err)
	}
	lock, err := durable.TryLock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return Report{}, fmt.Errorf("monitoring a log: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	old, err := load(c.Dir)
	if err != nil {
		return Report{}, fmt.Errorf("monitoring a log: what was seen before: %w", err)
	}
	r := &run{Config: c, old: old}
	if err := r.look(ctx); err != nil {
		return r.report, fmt.Errorf("monitoring a log: %w", err)
	}
	return r.report, nil
}

func load(dir string) (state, error) {
	raw, err := durable.LoadPair(dir, stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Schema: stateSchema}, nil
	}
	if err != nil {
		return state{}, err
	}
	return parseState(raw)
}

func parseState(raw []byte) (s state, err error) {
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: len(raw)}, &s); err != nil {
		return state{}, err
	}
	if s.Schema != stateSchema {
		return state{}, fmt.Errorf("schema %d is not known here: use the fairlead-sign that made it, or a newer one", s.Schema)
	}
	return s, nil
}

// run is one look at a log.
type run struct {
	Config
	old    state
	raw    []byte // the newest checkpoint
	now    tlog.Checkpoint
	tree   *compact.Range
	report Report
}

func (r *run) look(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.readCheckpoint, r.goOn, r.compare} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.save()
}

func (r *run) readCheckpoint(ctx context.Context) (err error) {
	if r.raw, err = r.Log.Checkpoint(ctx); err != nil {
		return err
	}
	if r.now, err = r.verify(r.raw); err != nil {
		return err
	}
	if r.old.Origin != "" && r.old.Origin != r.now.Origin {
		return fmt.Errorf("this folder follows log %s, and %s answers: give each log a folder of its own", r.old.Origin, r.now.Origin)
	}
	full, err := r.Policy.Checkpoint(r.raw)
	r.report = Report{
		Origin: r.now.Origin, Before: r.old.Size, Size: r.now.Size, Root: r.now.Root, Cosigned: full.Cosigned, Quorum: err == nil,
		Unannounced: []Entry{},
	}
	return nil
}

// verify asks for the log's signature alone: the newest checkpoint is not
// cosigned yet while a publisher is at work.
func (r *run) verify(raw []byte) (tlog.Checkpoint, error) {
	c, err := tlog.ReadCheckpoint(raw)
	if err != nil {
		return c, err
	}
	log, ok := r.Policy.Log(c.Origin)
	if !ok {
		return c, fmt.Errorf("log %.200q is not in the policy", c.Origin)
	}
	if _, err := note.Open(raw, note.VerifierList(log.Verifier())); err != nil {
		return c, fmt.Errorf("the checkpoint of log %s: %w", c.Origin, err)
	}
	return c, nil
}

// goOn adds the new entries to the tree of those seen before, and holds its root
// against the checkpoint's.
func (r *run) goOn(ctx context.Context) error {
	switch {
	case r.now.Size < r.old.Size:
		return r.faces(r.old.Checkpoint, string(r.raw), "it had %d entries, and shows %d now", r.old.Size, r.now.Size)
	case r.now.Size == r.old.Size && r.old.Size > 0 && r.now.Root != r.old.Root:
		return r.faces(r.old.Checkpoint, string(r.raw), "two checkpoints of %d entries have different roots", r.now.Size)
	}
	if err := r.openTree(); err != nil {
		return err
	}
	r.keepUnannounced(r.old.Unannounced)
	err := r.Log.Entries(ctx, r.old.Size, r.now.Size, func(index uint64, entry []byte) error {
		hash := tlog.Hash(entry)
		if r.Announced != nil && !r.Announced(entry) {
			r.unannounced(entryOf(index, entry))
		}
		return r.tree.Append(hash[:], nil)
	})
	if err != nil {
		return err
	}
	root, err := r.tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if r.now.Size > 0 && firmware.Digest(root) != r.now.Root {
		return r.faces(r.old.Checkpoint, string(r.raw), "the entries do not add up to the checkpoint of %d entries", r.now.Size)
	}
	return nil
}

func (r *run) openTree() (err error) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	hashes := make([][]byte, len(r.old.Range))
	for i := range hashes {
		hashes[i] = r.old.Range[i][:]
	}
	if r.tree, err = factory.NewRange(0, r.old.Size, hashes); err != nil {
		return fmt.Errorf("what was seen before is damaged: %w", err)
	}
	return nil
}

func entryOf(index uint64, entry []byte) Entry {
	leaf, err := tlog.ParseLeaf(entry)
	if err != nil {
		return Entry{Index: index, Text: fmt.Sprintf("%.300q", entry)}
	}
	return Entry{Index: index, Release: &leaf}
}

func (r *run) unannounced(e Entry) {
	if len(r.report.Unannounced) == most {
		r.report.More++
		return
	}
	r.report.Unannounced = append(r.report.Unannounced, e)
}

// keepUnannounced asks once more about entries of earlier looks.
func (r *run) keepUnannounced(entries []Entry) {
	r.report.More = r.old.More
	for _, e := range entries {
		if e.Release != nil && r.Announced != nil {
			if b, err := e.Release.Encode(); err == nil && r.Announced(b) {
				continue
			}
		}
		r.unannounced(e)
	}
}

// compare holds what others were shown against what the log shows here.
func (r *run) compare(ctx context.Context) error {
	for name, raw := range r.Seen {
		if p, err := tlog.ParseProof(raw); err == nil {
			raw = p.Checkpoint
		}
		c, err := r.verify(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if c.Origin != r.now.Origin {
			continue
		}
		r.report.Compared++
		if err := r.same(ctx, name, c, raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) same(ctx context.Context, name string, c tlog.Checkpoint, raw []byte) error {
	if c.Size > r.now.Size {
		return r.faces(string(raw), string(r.raw), "%s speaks of %d entries, and the log shows %d here", name, c.Size, r.now.Size)
	}
	hashes, err := r.Log.Consistency(ctx, c.Size, r.now.Size)
	if err != nil {
		return err
	}
	way := make([][]byte, len(hashes))
	for i := range hashes {
		way[i] = hashes[i][:]
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, c.Size, r.now.Size, way, c.Root[:], r.now.Root[:]); err != nil {
		return r.faces(string(raw), string(r.raw), "the checkpoint in %s, of %d entries, does not belong to the log that is shown here", name, c.Size)
	}
	return nil
}

// faces keeps the evidence.
func (r *run) faces(one, other, format string, args ...any) error {
	err := fmt.Errorf("%w: log %s: %s", ErrTwoFaces, r.now.Origin, fmt.Sprintf(format, args...))
	text := []byte(one + "\n" + other)
	name := filepath.Join(r.Dir, "evidence-"+firmware.Sum(text).String()[:16]+".txt")
	if bad := durable.WriteFile(name, text, 0o644); bad != nil {
		return errors.Join(err, fmt.Errorf("the evidence could not be kept: %w", bad))
	}
	return fmt.Errorf("%w; both checkpoints are in %s", err, name)
}

func (r *run) save() error {
	s := state{
		Schema: stateSchema, Origin: r.now.Origin, Size: r.now.Size, Root: r.now.Root, Checkpoint: string(r.raw),
		Unannounced: r.report.Unannounced, More: r.report.More,
	}
	for _, h := range r.tree.Hashes() {
		s.Range = append(s.Range, firmware.Digest(h))
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.SavePair(r.Dir, stateName, raw)
}
