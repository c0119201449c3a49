package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

// HTTPOptions tunes an HTTPSource. A zero field means the default beside it.
type HTTPOptions struct {
	// Response is how long a server may take from the start of the request to
	// the end of its response headers, 30 s. There is no limit on a whole
	// transfer: large files on slow lines are legitimate.
	Response time.Duration
	// MinRate is the least number of bytes per second, averaged over Window,
	// that a body must come at while it is being read, 1,024 over 30 s. Time in
	// which nobody reads does not count.
	MinRate int64
	Window  time.Duration
	// MaxRetryAfter caps what a server may ask for by Retry-After, 1 h.
	MaxRetryAfter time.Duration
	// Clock reads Retry-After dates, time.Now.
	Clock func() time.Time
}

// maxSkip is how many bytes a range read that ends within a file throws away if
// the server ignores Range. Beyond, range by range would cost the square of the file.
const maxSkip = 8 << 20

// maxRedirects is how many redirects, all to the same scheme and host, are followed.
const maxRedirects = 3

// HTTPSource reads a repository from base by HTTP GET. Names are appended to
// base's path.
//
// The client's proxy, dialling, TLS and limit on header bytes
// (http.Transport.MaxResponseHeaderBytes) are the caller's; its Timeout,
// CheckRedirect and Jar are not used. A nil hc means a client with limits fit
// for a device. Compression (zstd, gzip) is asked for and accepted for metadata
// that is read whole, and for nothing else.
//
// Errors: fs.ErrNotExist for 404 and 410, and for 403 to a <N>.root.json, which
// object stores answer for a key that does not exist; ErrCaptive for HTML, 511,
// or a redirect to another host or scheme; *RetryError for 429 and 503;
// ErrUnavailable for everything else, slow servers and files that change
// while their ranges are read included.
//
// It is an AheadSource, and can give several ranges at once (OpenRanges).
func HTTPSource(base *url.URL, hc *http.Client, o HTTPOptions) Source {
	if hc == nil {
		hc = &http.Client{Transport: defaultTransport()}
	}
	c := *hc
	c.Timeout, c.Jar, c.CheckRedirect = 0, nil, checkRedirect
	orDefault((*int64)(&o.Response), int64(30*time.Second))
	orDefault(&o.MinRate, 1024)
	orDefault((*int64)(&o.Window), int64(30*time.Second))
	orDefault((*int64)(&o.MaxRetryAfter), int64(time.Hour))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &httpSource{base: base, client: &c, o: o, etags: map[string]string{}}
}

func defaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		TLSClientConfig:        &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

type httpSource struct {
	base   *url.URL
	client *http.Client
	o      HTTPOptions

	mu    sync.Mutex
	etags map[string]string // strong validators of files seen, by name

	ahead ahead
}

// Ahead is that of AheadSource.
func (s *httpSource) Ahead(ctx context.Context, name string, offset, length int64, came func([]byte) bool) {
	open := func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, name, offset, length) }
	s.ahead.ask(ctx, part{name, offset, length}, open, came)
}

func (s *httpSource) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 {
		return http.NoBody, nil
	}
	if r, err, there := s.ahead.take(ctx, part{name, offset, length}); there {
		return r, err
	}
	return s.open(ctx, name, offset, length)
}

func (s *httpSource) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := request{name: name, offset: offset, length: length, etag: s.etag(name)}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.do(ctx, cancel, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	watched := s.watch(ctx, cancel, resp)
	body, err := s.accept(r, resp, watched)
	if err != nil {
		spare(resp, watched)
		return nil, err
	}
	return body, nil
}

func (s *httpSource) watch(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response) *watchedBody {
	return &watchedBody{body: resp.Body, ctx: ctx, cancel: cancel, window: s.o.Window, least: s.o.MinRate * int64(s.o.Window) / int64(time.Second)}
}

// spare closes a body that nobody wants. A short one is read first, so that the
// connection can be used again: every poll has one, the root that is not there.
func spare(resp *http.Response, body *watchedBody) {
	if resp.ContentLength >= 0 && resp.ContentLength <= 4096 {
		_, _ = io.Copy(io.Discard, body)
	}
	body.Close()
}

// request is what one Open asks for.
type request struct {
	name           string
	offset, length int64
	spans          []span // in place of offset and length
	etag           string
}

func (r request) ranged() bool { return r.offset > 0 || r.length > 0 || len(r.spans) > 0 }

var errNoResponse = errors.New("the server does not answer in time")

// do sends the request and waits for the headers, and no longer than allowed.
func (s *httpSource) do(ctx context.Context, cancel context.CancelCauseFunc, r request) (*http.Response, error) {
	req, err := s.build(ctx, r)
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(s.o.Response, func() { cancel(errNoResponse) })
	defer timer.Stop()
	resp, err := s.client.Do(req)
	if err == nil {
		return resp, nil
	}
	if errors.Is(err, ErrCaptive) {
		return nil, failf(ErrCaptive, "", "get %s: %w", r.name, err)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, failf(ErrUnavailable, "", "get %s: %w", r.name, err)
}

func (s *httpSource) build(ctx context.Context, r request) (*http.Request, error) {
	if s.base == nil || (s.base.Scheme != "http" && s.base.Scheme != "https") || s.base.Host == "" {
		return nil, failf(ErrConfig, "", "the repository's address must be an http or https URL")
	}
	u := *s.base
	escaped := strings.TrimSuffix(u.EscapedPath(), "/") + "/" + r.name
	plain, err := url.PathUnescape(escaped)
	if err != nil || r.offset < 0 {
		return nil, failf(ErrConfig, "", "cannot ask for %q", r.name)
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = plain, escaped, "", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fail(ErrConfig, "", err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	if r.compressible() {
		req.Header.Set("Accept-Encoding", acceptCodings)
	}
	req.Header.Set("User-Agent", "fairlead")
	if r.ranged() {
		req.Header.Set("Range", r.header())
		if r.etag != "" {
			req.Header.Set("If-Range", r.etag)
		}
	}
	return req, nil
}

func (r request) header() string {
	if len(r.spans) > 0 {
		return rangesHeader(r.spans)
	}
	if r.length < 0 {
		return fmt.Sprintf("bytes=%d-", r.offset)
	}
	return fmt.Sprintf("bytes=%d-%d", r.offset, r.offset+r.length-1)
}

// checkRedirect follows a few redirects within the same server. A login page is
// nearly always elsewhere.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return failf(ErrCaptive, "", "redirected to %s://%s: is there a login page in between?", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

var rootName = regexp.MustCompile(`^[0-9]+\.root\.json$`)

// isRoot tells whether name is that of a root, whose absence is normal.
func isRoot(name string) bool { return rootName.MatchString(path.Base(name)) }

func (s *httpSource) etag(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etags[name]
}

// remember keeps the validator of a file, so that ranges of two versions of it
// are never spliced.
func (s *httpSource) remember(name, etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.etags) >= 64 {
		clear(s.etags)
	}
	if delete(s.etags, name); strings.HasPrefix(etag, `"`) {
		s.etags[name] = etag
	}
}
