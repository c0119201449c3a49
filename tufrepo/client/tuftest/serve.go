package tuftest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Response is what a hook answers in the place of a file.
type Response struct {
	Status int
	Body   []byte
}

// Hook lets f answer before the repository does, where it returns something.
// It is called with the repository's lock held.
func (r *Repo) Hook(f func(name string) *Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = f
}

// Requests returns the names asked for since the last call.
func (r *Repo) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Clone(r.requests)
	r.requests = nil
	return names
}

// answer looks name up; it is as in a URL, without the leading slash.
func (r *Repo) answer(name string) Response {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, name)
	if r.hook != nil {
		if a := r.hook(name); a != nil {
			return *a
		}
	}
	if b := r.file(name); b != nil {
		return Response{http.StatusOK, b}
	}
	return Response{Status: http.StatusNotFound}
}

func (r *Repo) file(name string) []byte {
	if rest, ok := strings.CutPrefix(name, "metadata/"); ok {
		return r.metadata(strings.TrimSuffix(rest, ".json"))
	}
	plain, err := url.PathUnescape(name)
	if err != nil {
		return nil
	}
	return r.files[plain]
}

// metadata finds "timestamp", "3.root" or, with consistent snapshots, "3.<role>".
func (r *Repo) metadata(name string) []byte {
	number, role, versioned := strings.Cut(name, ".")
	version, err := strconv.ParseInt(number, 10, 64)
	if !versioned || err != nil {
		role, version = name, r.newest[name]
		if role != "timestamp" && r.Root.Signed.ConsistentSnapshot {
			return nil
		}
	}
	plain, err := url.PathUnescape(role)
	if err != nil {
		return nil
	}
	return r.published[plain][version]
}

// ServeHTTP serves the repository's files.
func (r *Repo) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	a := r.answer(strings.TrimPrefix(req.URL.EscapedPath(), "/"))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// Open makes a Repo a source for a client, without a network in between.
func (r *Repo) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := r.answer(name)
	switch {
	case a.Status == http.StatusNotFound:
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	case a.Status != http.StatusOK:
		return nil, fmt.Errorf("open %s: status %d", name, a.Status)
	}
	b := a.Body[min(offset, int64(len(a.Body))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}
