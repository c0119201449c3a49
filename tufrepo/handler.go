package tufrepo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
)

const (
	cacheForEver = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache"

	logCheckpoint = logName + "/checkpoint"
)

// served tells whether a name is one that devices may ask for. Everything else,
// folders and state/ above all, does not exist for them.
func served(name string) bool {
	if name == bundle.TimestampName {
		return true
	}
	_, _, isMetadata := bundle.ParseMetadataName(name)
	_, _, isManifest := bundle.ParseManifestName(name)
	_, isBlob := bundle.ParseBlobName(name)
	_, isPolicy := bundle.ParsePolicyName(name)
	_, isProof := bundle.ParseProofName(name)
	return isMetadata || isManifest || isBlob || isPolicy || isProof || logFile(name)
}

func logFile(name string) bool {
	rest, ok := strings.CutPrefix(name, logName+"/")
	if ok {
		_, ok = logread.Name(rest)
	}
	return ok
}

// contentType of a file that is no blob.
func contentType(name string) string {
	_, isProof := bundle.ParseProofName(name)
	_, isPolicy := bundle.ParsePolicyName(name)
	switch {
	case isProof, isPolicy, name == logCheckpoint:
		return "text/plain; charset=utf-8"
	case logFile(name):
		return "application/octet-stream"
	}
	return "application/json"
}

// Handler serves /metadata/, /targets/, /blobs/ and /log/ by GET and HEAD, with
// ranges. Names are matched exactly; whatever is not a regular file of a known
// name is 404. ETags are strong, the SHA-256 of the content. What has a version
// or hash in its name may be cached for ever; the timestamp, the log's checkpoint,
// and the absence of anything, must be asked for again. Metadata goes compressed
// to whoever asks for zstd or gzip, with another ETag each.
func (r *Repo) Handler(log *slog.Logger) http.Handler {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			log.Error("the repository cannot be read", "error", err)
			plain(w, http.StatusServiceUnavailable, "the repository cannot be read")
		})
	}
	return handler{root, log, &codings{}}
}

type handler struct {
	root  *os.Root
	log   *slog.Logger
	coded *codings
}

func (h handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		plain(w, http.StatusMethodNotAllowed, "only GET and HEAD")
		return
	}
	name := strings.TrimPrefix(req.URL.Path, "/")
	// RawPath is set if the path was escaped in a way that it need not be: a
	// second spelling of a name, which a cache could hold apart.
	if req.URL.RawPath != "" || "/"+name != req.URL.Path || !served(name) {
		notFound(w)
		return
	}
	f, err := h.open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		notFound(w)
	case err != nil:
		h.log.Error("a file of the repository cannot be read", "name", name, "error", err)
		plain(w, http.StatusInternalServerError, "cannot be read")
	default:
		defer f.Close()
		h.serve(w, req, name, f)
	}
}

// open refuses links, so that a name has one file and a file one name, and
// what is not a regular file. It does not block on a FIFO.
func (h handler) open(name string) (*os.File, error) {
	link, err := h.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !link.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	f, err := h.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !os.SameFile(link, st) {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (h handler) serve(w http.ResponseWriter, req *http.Request, name string, f *os.File) {
	var content io.ReadSeeker = f
	header := w.Header()
	if d, ok := bundle.ParseBlobName(name); ok {
		header.Set("ETag", etag(d))
		header.Set("Content-Type", "application/octet-stream")
	} else {
		raw, err := io.ReadAll(io.LimitReader(f, bundle.MaxTargets+1))
		if err != nil || len(raw) > bundle.MaxTargets {
			h.log.Error("a file of the repository cannot be read", "name", name, "error", err)
			plain(w, http.StatusInternalServerError, "cannot be read")
			return
		}
		content = bytes.NewReader(h.code(w, req, name, raw))
		header.Set("Content-Type", contentType(name))
	}
	header.Set("Cache-Control", cacheForEver)
	if name == bundle.TimestampName || name == logCheckpoint {
		header.Set("Cache-Control", cacheNever)
	}
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, req, path.Base(name), time.Time{}, content)
}

// code is a file as it is sent, with the headers that say so.
func (h handler) code(w http.ResponseWriter, req *http.Request, name string, raw []byte) []byte {
	sum := firmware.Digest(sha256.Sum256(raw))
	header := w.Header()
	header.Set("ETag", etag(sum))
	if strings.HasPrefix(name, "metadata/") {
		header.Set("Vary", "Accept-Encoding")
	}
	coding := choose(req, name, len(raw))
	if coding == "" {
		return raw
	}
	coded, err := h.coded.get(coding, sum, raw)
	if err != nil {
		h.log.Error("metadata cannot be compressed, and is sent as it is", "name", name, "error", err)
		return raw
	}
	header.Set("ETag", `"`+sum.String()+"-"+coding+`"`)
	header.Set("Content-Encoding", coding)
	header.Set("Content-Length", strconv.Itoa(len(coded)))
	return coded
}

func etag(d firmware.Digest) string { return `"` + hex.EncodeToString(d[:]) + `"` }

func notFound(w http.ResponseWriter) { plain(w, http.StatusNotFound, "not found") }

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Cache-Control", cacheNever)
	http.Error(w, text, status)
}
