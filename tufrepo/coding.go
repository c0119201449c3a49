package tufrepo

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/fairlead/fairlead/firmware"
)

const (
	minCoded = 1 << 10 // bytes from which compressing is worth a header
	maxCoded = 32 << 20
)

// codings keeps compressed copies of metadata: a fleet asks for the same few files again and again.
type codings struct {
	mu   sync.Mutex
	held map[codedKey][]byte
	size int
}

type codedKey struct {
	sum    firmware.Digest
	coding string
}

// choose picks the coding in which a file is sent; "" sends it as it is. Ranges are those of the file.
func choose(req *http.Request, name string, length int) string {
	if !strings.HasPrefix(name, "metadata/") || length < minCoded || req.Header.Get("Range") != "" {
		return ""
	}
	accepted := map[string]bool{}
	for _, line := range req.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(part, ";")
			if !strings.HasPrefix(strings.ReplaceAll(weight, " ", ""), "q=0") { // a weight below 1 says: rather not
				accepted[strings.ToLower(strings.TrimSpace(coding))] = true
			}
		}
	}
	switch {
	case accepted["zstd"]:
		return "zstd"
	case accepted["gzip"]:
		return "gzip"
	}
	return ""
}

// get is raw in a coding. All is forgotten once it is too much: what is asked for comes back.
func (c *codings) get(coding string, sum firmware.Digest, raw []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := codedKey{sum, coding}
	if b, ok := c.held[key]; ok {
		return b, nil
	}
	b, err := encode(coding, raw)
	if err != nil {
		return nil, err
	}
	if c.size+len(b) > maxCoded || c.held == nil {
		c.held, c.size = map[codedKey][]byte{}, 0
	}
	c.held[key] = b
	c.size += len(b)
	return b, nil
}

func encode(coding string, raw []byte) ([]byte, error) {
	if coding == "zstd" {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
		if err != nil {
			return nil, err
		}
		return z.EncodeAll(raw, nil), z.Close()
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
