package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// digest is the SHA-256 of a file, as text.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func size(b testing.TB, path string) int64 {
	b.Helper()
	info, err := os.Stat(path)
	must(b, err)
	return info.Size()
}

// same compares the file or device got with the first bytes of the file want.
func same(got, want string) error {
	g, err := os.Open(got)
	if err != nil {
		return err
	}
	defer g.Close()
	w, err := os.Open(want)
	if err != nil {
		return err
	}
	defer w.Close()
	a, c := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; at += int64(len(c)) {
		n, err := io.ReadFull(w, c)
		if n > 0 {
			if _, err := io.ReadFull(g, a[:n]); err != nil {
				return fmt.Errorf("%s ends before byte %d: %w", got, at+int64(n), err)
			}
			if !bytes.Equal(a[:n], c[:n]) {
				return fmt.Errorf("%s differs from %s within 1 MiB of byte %d", got, want, at)
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// fsync makes a file or device durable and returns how long that took.
func fsync(b testing.TB, path string) time.Duration {
	b.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(b, err)
	defer f.Close()
	start := time.Now()
	must(b, f.Sync())
	return time.Since(start)
}

// warm reads files into the page cache.
func warm(b testing.TB, paths ...string) {
	b.Helper()
	for _, path := range paths {
		f, err := os.Open(path)
		must(b, err)
		_, err = io.Copy(io.Discard, f)
		must(b, errors.Join(err, f.Close()))
	}
}
