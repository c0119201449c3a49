package client

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// acceptCodings are the content codings of metadata, the best first. A repository of a thousand products has a snapshot
// of 130 kB, most of it hashes in hexadecimal.
const acceptCodings = "zstd, gzip"

// maxWindow is how far back a zstd body may refer: what RFC 9659 allows. It bounds the memory of the decoder.
const maxWindow = 8 << 20

// compressible tells whether an answer may be compressed: metadata, read whole. Whoever reads it limits the bytes that come
// out, so a bomb is no more than a file that is too long. Ranges of compressed files would be those of what is not signed.
func (r request) compressible() bool {
	return strings.HasPrefix(r.name, "metadata/") && strings.HasSuffix(r.name, ".json") && !r.ranged()
}

func coding(resp *http.Response) string {
	if e := strings.ToLower(resp.Header.Get("Content-Encoding")); e != "identity" {
		return e
	}
	return ""
}

// decode undoes the content coding of a body.
func decode(r request, resp *http.Response, body io.ReadCloser) (io.ReadCloser, error) {
	switch coding(resp) {
	case "":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, failf(ErrUnavailable, "", "get %s: unpacking: %w", r.name, noEOF(err))
		}
		return &decodedBody{z, body, func() { _ = z.Close() }, r.name}, nil
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, failf(ErrUnavailable, "", "get %s: unpacking: %w", r.name, noEOF(err))
		}
		return &decodedBody{z, body, z.Close, r.name}, nil
	}
	return nil, fmt.Errorf("content coding %q", coding(resp)) // refused by checkHeaders
}

// decodedBody is a body without its content coding.
type decodedBody struct {
	plain io.Reader
	body  io.Closer
	end   func()
	name  string
}

func (d *decodedBody) Read(p []byte) (int, error) {
	n, err := d.plain.Read(p)
	if err != nil && err != io.EOF {
		err = failf(ErrUnavailable, "", "get %s: unpacking: %w", d.name, err)
	}
	return n, err
}

func (d *decodedBody) Close() error {
	d.end()
	return d.body.Close()
}
