package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Fetch streams t, as Target returned it, to w. Length and every hash are
// verified; until Fetch has returned nil, what w got is not to be used. To
// resume a long transfer, read ranges from the Source.
func (c *Client) Fetch(ctx context.Context, t Target, w io.Writer) error {
	hashes, err := newHashes(t)
	if err != nil {
		return err
	}
	name, err := c.targetName(t)
	if err != nil {
		return err
	}
	r, err := c.trust.source.Open(ctx, name, 0, -1)
	if err != nil {
		return classify(t.Path, ErrUnavailable, err)
	}
	defer r.Close()
	return t.copy(w, r, hashes)
}

// Verify reads r to its end and tells whether it is t. Errors are as for Fetch.
func (t Target) Verify(r io.Reader) error {
	hashes, err := newHashes(t)
	if err != nil {
		return err
	}
	return t.copy(io.Discard, r, hashes)
}

func (t Target) copy(w io.Writer, r io.Reader, hashes hashSet) error {
	n, err := io.Copy(io.MultiWriter(append(hashes.writers(), sink{w})...), io.LimitReader(r, t.Length+1))
	switch {
	case errors.As(err, new(sinkError)):
		return failf(ErrStore, t.Path, "write the target: %w", err)
	case err != nil:
		return classify(t.Path, ErrUnavailable, err)
	case n > t.Length:
		return failf(ErrTooLarge, t.Path, "there are more than the %d bytes that were signed", t.Length)
	case n < t.Length:
		return failf(ErrUnavailable, t.Path, "%d of %d bytes came: %w", n, t.Length, io.ErrUnexpectedEOF)
	}
	return hashes.check(t)
}

// sink marks errors of the caller's writer: they are not the server's fault.
type sink struct{ w io.Writer }

type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

func (s sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = sinkError{err}
	}
	return n, err
}

// targetName is where a target lies: with consistent snapshots under a name
// that starts with its hash.
func (c *Client) targetName(t Target) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trust.targetName(t)
}

func (t *trust) targetName(of Target) (string, error) {
	if err := checkPath(of.Path); err != nil {
		return "", err
	}
	segments := strings.Split(of.Path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	if last := len(segments) - 1; t.root.Signed.ConsistentSnapshot {
		segments[last] = of.nameHash() + "." + segments[last]
	}
	return "targets/" + strings.Join(segments, "/"), nil
}

// nameHash is the same at every call, and the shortest that the repository has.
func (t Target) nameHash() string {
	if h, ok := t.Hashes["sha256"]; ok {
		return h
	}
	return t.Hashes["sha512"]
}

type hashSet map[string]hash.Hash

// newHashes makes a hash for each that t has. One we do not know refuses t: it
// was meant to be checked.
func newHashes(t Target) (hashSet, error) {
	s := hashSet{}
	for alg := range t.Hashes {
		switch alg {
		case "sha256":
			s[alg] = sha256.New()
		case "sha512":
			s[alg] = sha512.New()
		default:
			return nil, failf(ErrFormat, t.Path, "hash algorithm %.20q is not known", alg)
		}
	}
	if len(s) == 0 {
		return nil, failf(ErrFormat, t.Path, "it has no hash")
	}
	return s, nil
}

func (s hashSet) writers() []io.Writer {
	var w []io.Writer
	for _, alg := range slices.Sorted(maps.Keys(s)) {
		w = append(w, s[alg])
	}
	return w
}

func (s hashSet) check(t Target) error {
	for alg, h := range s {
		if got := hex.EncodeToString(h.Sum(nil)); got != t.Hashes[alg] {
			return failf(ErrCorrupt, t.Path, "the file has %s %s, signed is %s", alg, got, t.Hashes[alg])
		}
	}
	return nil
}

// Manifest fetches the release manifest that t names and holds it against what
// the role says of it: path, and the product, version and counter in Custom.
// Where the repository has a log policy, the release must stand in the log.
func (c *Client) Manifest(ctx context.Context, t Target) (*firmware.Manifest, error) {
	if t.Length > firmware.MaxManifest {
		return nil, failf(ErrTooLarge, t.Path, "%d bytes are too many for a release manifest", t.Length)
	}
	early, cancel := context.WithCancel(ctx)
	defer cancel()
	c.askProof(early, t)
	var b bytes.Buffer
	if err := c.Fetch(ctx, t, &b); err != nil {
		return nil, err
	}
	m, err := firmware.ParseManifest(b.Bytes())
	if err != nil {
		return nil, fail(ErrFormat, t.Path, err)
	}
	if err := checkManifest(t, m); err != nil {
		return nil, fail(ErrFormat, t.Path, err)
	}
	if err := c.checkLogged(ctx, t); err != nil {
		return nil, err
	}
	return m, nil
}

// custom is what a product role says of a release manifest.
type custom struct {
	Counter  int64    `json:"counter"`
	Hardware []string `json:"hardware"`
	Product  string   `json:"product"`
	Version  string   `json:"version"`
}

func checkManifest(t Target, m *firmware.Manifest) error {
	if p := firmware.TargetPath(m.Product, m.Version); p != t.Path {
		return fmt.Errorf("the manifest is that of %s", p)
	}
	if t.Custom == nil {
		return nil
	}
	var said custom
	if err := strictjson.Decode(t.Custom, strictjson.Options{}, &said); err != nil {
		return err
	}
	is, err := json.Marshal(custom{m.Counter, m.Hardware, m.Product, m.Version})
	if err != nil {
		return err
	}
	if want, err := json.Marshal(said); err != nil || !bytes.Equal(is, want) {
		return fmt.Errorf("the role says %s of a manifest that says %s", want, is)
	}
	return nil
}
