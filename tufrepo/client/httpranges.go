package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// maxRanges is how many ranges one request has at most: servers bound the length of headers.
const maxRanges = 128

// partHeader is how much a part of an answer may have beside its bytes. RFC 9110, 14.6, wants a Content-Type and a
// Content-Range between two boundaries.
const partHeader = 1 << 10

// span is one range.
type span struct{ offset, length int64 }

func (s span) last() int64 { return s.offset + s.length - 1 }

// OpenRanges opens ranges of a file, each its offset and length in bytes, in one request, as the concatenation of their
// bytes. They lie in ascending order, apart from one another; there are 128 at most. A server that does not give
// several ranges at once is ErrUnavailable, wrapping ErrNoRanges; Open may work with it.
func (s *httpSource) OpenRanges(ctx context.Context, name string, ranges iter.Seq2[int64, int64]) (io.ReadCloser, error) {
	var spans []span
	for offset, length := range ranges {
		spans = append(spans, span{offset, length})
	}
	if len(spans) == 0 || len(spans) > maxRanges {
		return nil, failf(ErrConfig, "", "get %s: %d ranges in one request", name, len(spans))
	}
	if len(spans) == 1 {
		return s.Open(ctx, name, spans[0].offset, spans[0].length)
	}
	r := request{name: name, spans: spans, etag: s.etag(name)}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := s.do(ctx, cancel, r)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := s.watch(ctx, cancel, resp)
	parts, err := s.acceptParts(r, resp, body)
	if err != nil {
		spare(resp, body)
		return nil, err
	}
	return parts, nil
}

func (s *httpSource) acceptParts(r request, resp *http.Response, body io.ReadCloser) (io.ReadCloser, error) {
	if err := s.checkAnswer(r, resp); err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusPartialContent || err != nil || kind != "multipart/byteranges" || params["boundary"] == "" {
		return nil, failf(ErrUnavailable, "", "get %s: several ranges at once: %w", r.name, ErrNoRanges)
	}
	most := int64(partHeader)
	for _, span := range r.spans {
		most += span.length + partHeader
	}
	limited := io.LimitReader(body, most) // which bounds what a header can take
	return &partsReader{name: r.name, body: body, parts: multipart.NewReader(limited, params["boundary"]), spans: r.spans}, nil
}

// partsReader reads the parts of a multipart/byteranges body, and refuses all that is not what was asked for.
type partsReader struct {
	name  string
	body  io.ReadCloser
	parts *multipart.Reader
	spans []span // that have not begun
	part  io.Reader
	left  int64 // of part
}

func (p *partsReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		if len(p.spans) == 0 {
			return 0, io.EOF
		}
		if err := p.next(); err != nil {
			return 0, failf(ErrUnavailable, "", "get %s: %w", p.name, noEOF(err))
		}
	}
	n, err := p.part.Read(b[:min(int64(len(b)), p.left)])
	if p.left -= int64(n); n > 0 || err == nil {
		return n, nil
	}
	return 0, failf(ErrUnavailable, "", "get %s: %w", p.name, noEOF(err))
}

// next begins the next part.
func (p *partsReader) next() error {
	part, err := p.parts.NextRawPart()
	if err != nil {
		return err
	}
	first, last, _, err := parseContentRange(part.Header.Values("Content-Range"))
	if err != nil {
		return err
	}
	if want := p.spans[0]; first != want.offset || last != want.last() {
		return fmt.Errorf("the server sent bytes %d-%d where %d-%d were asked for", first, last, want.offset, want.last())
	}
	p.part, p.left, p.spans = part, p.spans[0].length, p.spans[1:]
	return nil
}

// Close lets the connection be used again if all was read.
func (p *partsReader) Close() error {
	if p.left == 0 && len(p.spans) == 0 {
		_, _ = io.CopyN(io.Discard, p.body, partHeader)
	}
	return p.body.Close()
}

// rangesHeader asks for several ranges.
func rangesHeader(spans []span) string {
	all := make([]string, len(spans))
	for i, s := range spans {
		all[i] = fmt.Sprintf("%d-%d", s.offset, s.last())
	}
	return "bytes=" + strings.Join(all, ",")
}
