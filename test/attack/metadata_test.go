package attack

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// TestThresholdsOfNothing: a threshold of zero or less is no way in, in the root or in a delegation, and neither is one
// signature twice.
func TestThresholdsOfNothing(t *testing.T) {
	for _, threshold := range []int{0, -1, -1 << 31} {
		for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
			r := newRepo()
			d := newReader(t, r)
			must(t, d.sees())
			r.Root.Signed.Roles[role].Threshold = threshold
			r.Publish("root")
			r.Keys[role] = nil
			r.PublishAll()
			if err := d.sees(); err == nil {
				t.Errorf("%s with a threshold of %d, signed by nobody, was taken", role, threshold)
			}
		}
		r := newRepo()
		d := newReader(t, r)
		r.Targets["targets"].Signed.Delegations.Roles[0].Threshold = threshold
		r.Keys[product] = nil
		r.PublishAll()
		if err := d.sees(); err == nil {
			t.Errorf("a delegation with a threshold of %d, signed by nobody, was taken", threshold)
		}
	}
	for _, role := range []string{"timestamp", "snapshot", "targets", product} {
		r := newRepo()
		d := newReader(t, r)
		other := tuftest.NewKey("ed25519")
		if role == product {
			delegations := r.Targets["targets"].Signed.Delegations
			delegations.Keys[other.ID] = other.TUF
			delegations.Roles[0].KeyIDs = append(delegations.Roles[0].KeyIDs, other.ID)
			delegations.Roles[0].Threshold = 2
		} else {
			r.Root.Signed.Keys[other.ID] = other.TUF
			r.Root.Signed.Roles[role].KeyIDs = append(r.Root.Signed.Roles[role].KeyIDs, other.ID)
			r.Root.Signed.Roles[role].Threshold = 2
			r.Publish("root")
		}
		r.Keys[role] = append(r.Keys[role], r.Keys[role][0])
		r.PublishAll()
		if err := d.sees(); err == nil {
			t.Errorf("%s: one signature twice meets a threshold of two", role)
		}
		r.Keys[role] = []tuftest.Key{r.Keys[role][0], other}
		r.PublishAll()
		if err := d.sees(); err != nil {
			t.Errorf("%s: both signatures: %v", role, err)
		}
	}
}

// TestSignaturesOfAnotherForm: what stands in the place of a signature, and is none.
func TestSignaturesOfAnotherForm(t *testing.T) {
	forms := map[string]func(sig []byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"one byte":        func([]byte) []byte { return []byte{0} },
		"zeros":           func(s []byte) []byte { return make([]byte, len(s)) },
		"cut off":         func(s []byte) []byte { return s[:len(s)-1] },
		"longer":          func(s []byte) []byte { return append(bytes.Clone(s), 0) },
		"twice":           func(s []byte) []byte { return append(bytes.Clone(s), s...) },
		"a bit":           func(s []byte) []byte { s = bytes.Clone(s); s[len(s)-1] ^= 1; return s },
		"r and s zero":    func([]byte) []byte { return []byte{0x30, 6, 2, 1, 0, 2, 1, 0} },
		"r and s one":     func([]byte) []byte { return []byte{0x30, 6, 2, 1, 1, 2, 1, 1} },
		"a negative r":    func([]byte) []byte { return []byte{0x30, 6, 2, 1, 0xff, 2, 1, 1} },
		"an endless form": func([]byte) []byte { return []byte{0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0} },
		"of another key": func([]byte) []byte {
			s, err := tuftest.NewKey("ed25519").SignMessage(strings.NewReader("x"))
			if err != nil {
				panic(err)
			}
			return s
		},
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		key := tuftest.NewKey(kind)
		for name, form := range forms {
			for _, role := range []string{"timestamp", product} {
				r := newRepo()
				if role == product {
					delegations := r.Targets["targets"].Signed.Delegations
					delegations.Keys = map[string]*metadata.Key{key.ID: key.TUF}
					delegations.Roles[0].KeyIDs = []string{key.ID}
				} else {
					r.Root.Signed.Roles[role].KeyIDs = nil
					r.AddKey(role, key)
					r.Publish("root")
				}
				r.Keys[role], r.Hashes = []tuftest.Key{key}, false
				r.PublishAll()
				d := newReader(t, r)
				good := append([]byte(nil), newest(r, role)...)
				r.Edit(role, func(b []byte) []byte { return withSignature(t, b, form) })
				if err := d.sees(); !errors.Is(err, client.ErrSignature) && !errors.Is(err, client.ErrFormat) {
					t.Errorf("%s, %s, %s: %v", kind, role, name, err)
				}
				r.Edit(role, func([]byte) []byte { return good })
				if err := d.sees(); err != nil {
					t.Errorf("%s, %s: the good one: %v", kind, role, err)
				}
			}
		}
	}
}

func newest(r *tuftest.Repo, role string) []byte {
	_, b := r.Newest(role)
	return b
}

// withSignature changes the one signature of a document, and nothing that it covers.
func withSignature(t *testing.T, doc []byte, form func([]byte) []byte) []byte {
	t.Helper()
	var m struct {
		Signed     json.RawMessage `json:"signed"`
		Signatures []struct {
			KeyID string `json:"keyid"`
			Sig   string `json:"sig"`
		} `json:"signatures"`
	}
	must(t, json.Unmarshal(doc, &m))
	sig, err := hex.DecodeString(m.Signatures[0].Sig)
	must(t, err)
	m.Signatures[0].Sig = hex.EncodeToString(form(sig))
	out, err := json.Marshal(m)
	must(t, err)
	return out
}

// TestRefusedTimestampIsNotKept: a timestamp over a snapshot that is refused does not freeze a device on it.
func TestRefusedTimestampIsNotKept(t *testing.T) {
	r := newRepo()
	d := newReader(t, r)
	must(t, d.sees())
	held := d.Versions()
	good := r.Keys["snapshot"]
	r.Keys["snapshot"] = []tuftest.Key{tuftest.NewKey("ed25519")}
	r.PublishAll()
	if err := d.sees(); !errors.Is(err, client.ErrSignature) {
		t.Fatalf("a forged snapshot: %v", err)
	}
	d.restart()
	r.Keys["snapshot"] = good
	r.PublishAll()
	must(t, d.sees())
	if now := d.Versions(); now.Timestamp <= held.Timestamp {
		t.Errorf("from %+v to %+v", held, now)
	}
}

// TestPathsDifferByCase: a role is given what it is given, letter by letter.
func TestPathsDifferByCase(t *testing.T) {
	r := newRepo()
	r.Delegate(metadata.TARGETS, metadata.DelegatedRole{Name: "other", Paths: []string{"BASE/*", "Base/*"}, Terminating: true})
	for _, path := range []string{release, "BASE/2.0.0.json"} {
		r.AddTarget("other", path, []byte("by others"))
	}
	r.PublishAll()
	d := newReader(t, r)
	must(t, d.sees())
	for path, role := range map[string]string{release: product, "BASE/2.0.0.json": "other"} {
		if got, err := d.Target(context.Background(), path); err != nil || got.Role != role {
			t.Errorf("%s comes from %q, %v", path, got.Role, err)
		}
	}
	if _, err := d.Target(context.Background(), "bASE/2.0.0.json"); !errors.Is(err, client.ErrNoTarget) {
		t.Errorf("a path that nobody was given: %v", err)
	}
}

// TestYearsBeyond2038: times that 31 bits of seconds do not hold are times.
func TestYearsBeyond2038(t *testing.T) {
	end := time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC)
	for _, now := range []time.Time{end, end.Add(time.Second), end.AddDate(10, 0, 0), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC)} {
		r := tuftest.New(now.AddDate(0, 0, 2))
		r.Issued = now.Add(-time.Hour)
		r.Delegate(metadata.TARGETS, metadata.DelegatedRole{Name: product, Paths: []string{product + "/*"}, Terminating: true})
		r.AddTarget(product, release, []byte("the manifest of 1.0.0"))
		r.PublishAll()
		d := newReader(t, r)
		clock := now
		d.config.Clock = func() time.Time { return clock }
		d.restart()
		if err := d.sees(); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
		clock = now.AddDate(0, 0, 3)
		if err := d.sees(); !errors.Is(err, client.ErrExpired) {
			t.Errorf("three days after %s: %v", now, err)
		}
		clock = time.Unix(0, 0)
		d.restart()
		if got := d.TrustedTime(); !got.Equal(r.Issued) {
			t.Errorf("at 1970 the trusted time is %s, want %s", got, r.Issued)
		}
	}
}

// TestHTTP2StreamIsReset: a stream that ends in the middle is an error of the line, and the next one serves.
func TestHTTP2StreamIsReset(t *testing.T) {
	r := newRepo()
	var resets atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.ProtoMajor != 2 {
			t.Errorf("%s", req.Proto)
		}
		if strings.HasSuffix(req.URL.Path, "timestamp.json") && resets.Add(1) <= 3 {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"signed":`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // RST_STREAM
		}
		r.ServeHTTP(w, req)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	base, err := url.Parse(server.URL)
	must(t, err)
	d := newReader(t, r)
	d.config.Source = client.HTTPSource(base, server.Client(), client.HTTPOptions{})
	d.restart()
	for range 3 {
		if err := d.sees(); !errors.Is(err, client.ErrUnavailable) {
			t.Fatalf("a stream that was reset: %v", err)
		}
	}
	must(t, d.sees())
	target, err := d.Target(context.Background(), release)
	must(t, err)
	var got bytes.Buffer
	if err := d.Fetch(context.Background(), target, io.Writer(&got)); err != nil || got.String() != "the manifest of 1.0.0" {
		t.Error(fmt.Errorf("%q: %w", got.String(), err))
	}
}
