package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// accept checks a response and returns the bytes that were asked for.
func (s *httpSource) accept(r request, resp *http.Response, body io.ReadCloser) (io.ReadCloser, error) {
	if err := s.checkAnswer(r, resp); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		return acceptRange(r, resp, body)
	}
	plain, err := decode(r, resp, body)
	if err != nil || plain != body {
		return plain, err
	}
	return acceptWhole(r, resp, body)
}

// checkAnswer refuses what is not the file, or not the same one as before.
func (s *httpSource) checkAnswer(r request, resp *http.Response) error {
	if err := s.checkStatus(r, resp); err != nil {
		return err
	}
	if err := checkHeaders(r, resp); err != nil {
		return err
	}
	etag := resp.Header.Get("ETag")
	s.remember(r.name, etag)
	if r.ranged() && r.etag != "" && etag != r.etag {
		return failf(ErrUnavailable, "", "get %s: it changed on the server, start again", r.name)
	}
	return nil
}

// checkStatus turns everything but 200, and 206 where it was asked for, into an error.
func (s *httpSource) checkStatus(r request, resp *http.Response) error {
	code := resp.StatusCode
	switch {
	case code == http.StatusOK, code == http.StatusPartialContent && r.ranged():
		return nil
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusForbidden && isRoot(r.name):
		return failf(ErrUnavailable, "", "get %s: %w on the server", r.name, fs.ErrNotExist)
	case code == http.StatusNetworkAuthenticationRequired:
		return failf(ErrCaptive, "", "get %s: the network wants a login", r.name)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		retry := &RetryError{Status: code, After: s.retryAfter(resp.Header.Get("Retry-After"))}
		return failf(ErrUnavailable, "", "get %s: %w", r.name, retry)
	case code == http.StatusRequestedRangeNotSatisfiable:
		return failf(ErrUnavailable, "", "get %s: the server's file has no byte %d", r.name, r.offset)
	}
	return failf(ErrUnavailable, "", "get %s: the server answers %d %s", r.name, code, http.StatusText(code))
}

func (s *httpSource) retryAfter(v string) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		d = time.Duration(min(n, int64(s.o.MaxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(s.o.Clock())
	}
	return max(0, min(d, s.o.MaxRetryAfter))
}

// checkHeaders refuses what cannot be a file of a repository.
func checkHeaders(r request, resp *http.Response) error {
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" || t == "application/xhtml+xml" {
		return failf(ErrCaptive, "", "get %s: the answer is a web page: is there a login page in between?", r.name)
	}
	if e := coding(resp); e != "" && !(r.compressible() && (e == "zstd" || e == "gzip")) {
		return failf(ErrUnavailable, "", "get %s: the answer is encoded (%.20q), which was not asked for", r.name, e)
	}
	return nil
}

func acceptRange(r request, resp *http.Response, body io.ReadCloser) (io.ReadCloser, error) {
	first, last, total, err := parseContentRange(resp.Header.Values("Content-Range"))
	if err != nil {
		return nil, failf(ErrUnavailable, "", "get %s: %w", r.name, err)
	}
	want := r.offset + r.length - 1
	if r.length < 0 {
		want = total - 1
	}
	n := last - first + 1
	if first != r.offset || last != want || (resp.ContentLength >= 0 && resp.ContentLength != n) {
		return nil, failf(ErrUnavailable, "", "get %s: the server sent bytes %d-%d (length %d) where %s was asked for",
			r.name, first, last, resp.ContentLength, r.header())
	}
	return &exactReader{ReadCloser: body, left: n}, nil
}

var errContentRange = errors.New("the server's Content-Range is not valid")

// parseContentRange reads "bytes 5-9/20". A total of "*" is as if the range
// ended the file.
func parseContentRange(values []string) (first, last, total int64, err error) {
	if len(values) != 1 {
		return 0, 0, 0, errContentRange
	}
	spec, ok := strings.CutPrefix(values[0], "bytes ")
	span, size, ok2 := strings.Cut(spec, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, errContentRange
	}
	first, errFirst := strconv.ParseInt(a, 10, 64)
	last, errLast := strconv.ParseInt(b, 10, 64)
	total = last + 1
	var errTotal error
	if size != "*" {
		total, errTotal = strconv.ParseInt(size, 10, 64)
	}
	if errors.Join(errFirst, errLast, errTotal) != nil || first < 0 || last < first || total <= last {
		return 0, 0, 0, errContentRange
	}
	return first, last, total, nil
}

// acceptWhole takes the range out of a response that is the whole file.
func acceptWhole(r request, resp *http.Response, body io.ReadCloser) (io.ReadCloser, error) {
	size := resp.ContentLength
	if size >= 0 && size < r.offset+max(r.length, 0) {
		return nil, failf(ErrUnavailable, "", "get %s: the server's file has %d bytes, too few for %s", r.name, size, r.header())
	}
	if r.length > 0 && r.offset > maxSkip && r.offset+r.length != size {
		return nil, failf(ErrUnavailable, "", "get %s: %w", r.name, ErrNoRanges)
	}
	if n, err := io.CopyN(io.Discard, body, r.offset); err != nil {
		return nil, failf(ErrUnavailable, "", "get %s: skipped %d of %d bytes: %w", r.name, n, r.offset, noEOF(err))
	}
	if r.length > 0 {
		return &exactReader{ReadCloser: body, left: r.length}, nil
	}
	return body, nil
}

// ErrNoRanges is wrapped by the error of a bounded read far into a file on a
// server that ignores Range. Reading to the end works, at the price of all that
// lies before it.
var ErrNoRanges = fmt.Errorf("the server does not serve ranges")

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
