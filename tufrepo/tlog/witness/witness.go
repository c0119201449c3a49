// Package witness is a witness of transparency logs (C2SP tlog-witness), and
// the other side of the same protocol: a log that asks witnesses.
//
// # What a witness does
//
// It is shown checkpoints of the logs that it knows, each with a proof that it
// continues the one before, and cosigns those for which this is true. It keeps
// nothing but the newest checkpoint of each log, durably, before it answers. So
// a log cannot show one face to some and another to others without the witness
// refusing one of the two. Whoever runs it should not be whoever runs the log.
//
// # Files
//
// In the witness's folder: lock, held while it runs; and for each log a two-copy
// state file (package durable) LOG.0, LOG.1, where LOG is the first 16 hex
// digits of the SHA-256 of the log's origin. It holds the newest checkpoint
// that was cosigned, as the log signed it. If both copies are damaged the
// witness does not start: it must not forget what it has seen.
package witness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Config is what a witness works with. All but Log are required.
type Config struct {
	Dir  string     // belongs to the witness
	Key  string     // skey, as logkey.New makes it for the witness's name
	Logs []tlog.Log // that it cosigns for
	Log  *slog.Logger
}

// Witness cosigns checkpoints. Its Handler may be used by several goroutines.
type Witness struct {
	dir    string
	signer *f_note.Signer
	logs   map[string]tlog.Log // by origin
	log    *slog.Logger
	lock   *durable.Lock

	mu     sync.Mutex
	newest map[string]seen // by origin
}

// seen is the newest checkpoint that was cosigned.
type seen struct {
	size uint64
	root firmware.Digest
}

// Open reads what the witness has seen. The caller closes it.
func Open(c Config) (*Witness, error) {
	signer, err := f_note.NewSignerForCosignatureV1(c.Key)
	if err != nil {
		return nil, fmt.Errorf("opening the witness: its key cannot be read: %w", err)
	}
	if err := durable.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the witness: %w", err)
	}
	w := &Witness{dir: c.Dir, signer: signer, logs: map[string]tlog.Log{}, log: c.Log, newest: map[string]seen{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.lock, err = durable.TryLock(filepath.Join(c.Dir, "lock")); err != nil {
		return nil, fmt.Errorf("opening the witness: %w", err)
	}
	for _, l := range c.Logs {
		if err := w.load(l); err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("opening the witness: what it has seen of log %s (%s): %w; if it cannot be mended, begin in another folder, with another name and key",
				l.Origin, filepath.Join(c.Dir, stateName(l.Origin)), err)
		}
	}
	return w, nil
}

// Close gives the folder back.
func (w *Witness) Close() error { return w.lock.Unlock() }

func stateName(origin string) string { return firmware.Sum([]byte(origin)).String()[:16] }

func (w *Witness) load(l tlog.Log) error {
	w.logs[l.Origin] = l
	raw, err := durable.LoadPair(w.dir, stateName(l.Origin))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := w.verify(l, raw)
	if err != nil {
		return err
	}
	w.newest[l.Origin] = seen{c.Size, c.Root}
	return nil
}

func (w *Witness) verify(l tlog.Log, raw []byte) (tlog.Checkpoint, error) {
	if _, err := note.Open(raw, note.VerifierList(l.Verifier())); err != nil {
		return tlog.Checkpoint{}, err
	}
	return tlog.ReadCheckpoint(raw)
}

// answer is a response: a status of C2SP tlog-witness, and its body.
type answer struct {
	status int
	body   string
}

func refuse(status int, format string, args ...any) answer {
	return answer{status, fmt.Sprintf(format, args...) + "\n"}
}

// maxRequest is the most bytes of a request.
const maxRequest = tlog.MaxProof + 63*45 + 64

// ServeHTTP answers POST add-checkpoint, under any prefix.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	a := w.answer(req)
	rw.Header().Set("Cache-Control", "no-store")
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if a.status == http.StatusConflict {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.body)
}

func (w *Witness) answer(req *http.Request) answer {
	if !strings.HasSuffix(req.URL.Path, "/add-checkpoint") {
		return refuse(http.StatusNotFound, "only add-checkpoint is here")
	}
	if req.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "only POST")
	}
	raw, err := io.ReadAll(io.LimitReader(req.Body, maxRequest+1))
	if err != nil || len(raw) > maxRequest {
		return refuse(http.StatusBadRequest, "the request cannot be read or has more than %d bytes", maxRequest)
	}
	r, err := ParseRequest(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	return w.cosign(req.Context(), r)
}

// cosign takes the checks in the order of C2SP tlog-witness, add-checkpoint.
func (w *Witness) cosign(ctx context.Context, r Request) answer {
	c, err := tlog.ReadCheckpoint(r.Checkpoint)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	log, known := w.logs[c.Origin]
	if !known {
		return refuse(http.StatusNotFound, "log %.200q is not known here", c.Origin)
	}
	n, err := note.Open(r.Checkpoint, note.VerifierList(log.Verifier()))
	if err != nil {
		return refuse(http.StatusForbidden, "the checkpoint is not signed by the log's key")
	}
	if r.Old > c.Size {
		return refuse(http.StatusBadRequest, "the old size is above that of the checkpoint")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.continues(ctx, r, c, w.newest[c.Origin]); a.status != http.StatusOK {
		return a
	}
	return w.sign(ctx, n, c)
}

// continues tells whether the checkpoint is the one before or continues it. The
// log has signed it, so if it is neither, this is proof against the log, and is
// put on record.
func (w *Witness) continues(ctx context.Context, r Request, c tlog.Checkpoint, have seen) answer {
	var err error
	switch {
	case r.Old != have.size:
		return answer{http.StatusConflict, fmt.Sprintf("%d\n", have.size)}
	case have.size == 0 && len(r.Proof) > 0:
		return refuse(http.StatusUnprocessableEntity, "a proof that continues nothing")
	case have.size == 0:
		return answer{status: http.StatusOK}
	case c.Size == have.size && c.Root != have.root:
		w.log.ErrorContext(ctx, "the log shows two faces", "origin", c.Origin, "size", c.Size, "cosigned", have.root, "checkpoint", string(r.Checkpoint))
		return answer{http.StatusConflict, fmt.Sprintf("%d\n", have.size)}
	default:
		err = proof.VerifyConsistency(rfc6962.DefaultHasher, have.size, c.Size, hashes(r.Proof), have.root[:], c.Root[:])
	}
	if err != nil {
		w.log.ErrorContext(ctx, "a signed checkpoint without a proof that it continues the one before", "origin", c.Origin,
			"size", c.Size, "cosigned_size", have.size, "cosigned", have.root, "checkpoint", string(r.Checkpoint), "error", err)
		return refuse(http.StatusUnprocessableEntity, "the proof does not show that the checkpoint continues the one of size %d", have.size)
	}
	return answer{status: http.StatusOK}
}

// sign makes the new checkpoint durable, and then the cosignature.
func (w *Witness) sign(ctx context.Context, n *note.Note, c tlog.Checkpoint) answer {
	logSigned, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs})
	if err == nil && (w.newest[c.Origin] != seen{c.Size, c.Root}) {
		err = durable.SavePair(w.dir, stateName(c.Origin), logSigned)
	}
	if err != nil {
		w.log.ErrorContext(ctx, "what was seen could not be kept, so it is not cosigned", "origin", c.Origin, "error", err)
		return refuse(http.StatusInternalServerError, "the witness cannot keep what it sees")
	}
	w.newest[c.Origin] = seen{c.Size, c.Root}
	both, err := note.Sign(&note.Note{Text: n.Text}, w.signer)
	if err != nil {
		return refuse(http.StatusInternalServerError, "the witness cannot sign")
	}
	w.log.InfoContext(ctx, "cosigned", "origin", c.Origin, "size", c.Size)
	return answer{http.StatusOK, string(both[len(n.Text)+1:])}
}

func hashes(list []firmware.Digest) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i][:]
	}
	return out
}

// Request is the body of add-checkpoint.
type Request struct {
	Old        uint64
	Proof      []firmware.Digest
	Checkpoint []byte
}

// Encode prints the body.
func (r Request) Encode() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.Old)
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Checkpoint...)
}
