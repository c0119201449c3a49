package witness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/logdir"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

const origin = "fw.example.com/releases"

func grow(t *testing.T, l *logdir.Log, entries ...string) logdir.Signed {
	t.Helper()
	var all [][]byte
	for _, e := range entries {
		all = append(all, []byte(e))
	}
	if _, err := l.Add(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	newest, err := l.Newest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return newest
}

func collect(w *tlogtest.World, l *logdir.Log, policy *tlog.Policy, c logdir.Signed) ([]byte, error) {
	return witness.Collector{Consistency: l.Consistency, Patience: 10 * time.Second, Grace: time.Millisecond}.Collect(context.Background(), policy, c.Bytes)
}

func TestWitnessesCosignWhatGrows(t *testing.T) {
	w := tlogtest.New(t, origin, 3)
	l := w.Open(t, t.TempDir())
	policy := tlogtest.Parse(t, w.Policy(3))
	for i := range 3 {
		raw, err := collect(w, l, policy, grow(t, l, fmt.Sprint("entry", i), fmt.Sprint("more", i)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := policy.Checkpoint(raw)
		if err != nil || len(c.Cosigned) != 3 {
			t.Errorf("%+v, %v", c, err)
		}
	}
	// Once more, without any growth.
	newest, err := l.Newest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collect(w, l, policy, newest); err != nil {
		t.Error(err)
	}
}

func TestWitnessDownOrLying(t *testing.T) {
	w := tlogtest.New(t, origin, 3)
	l := w.Open(t, t.TempDir())
	c := grow(t, l, "entry")
	w.Witnesses[0].Stop()
	if _, err := collect(w, l, tlogtest.Parse(t, w.Policy(2)), c); err != nil {
		t.Errorf("one of three is down: %v", err)
	}
	liar := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = rw.Write([]byte("— w1.example.net/witness AAAA\n"))
	}))
	defer liar.Close()
	w.Witnesses[1].URL = liar.URL
	_, err := collect(w, l, tlogtest.Parse(t, w.Policy(2)), c)
	if !errors.Is(err, tlog.ErrQuorum) || !strings.Contains(err.Error(), "witness w0:") || !strings.Contains(err.Error(), "witness w1: it does not answer with its cosignature") {
		t.Errorf("two of three are of no use: %v", err)
	}
}

// A log that shows one witness another history than the other.
func TestTwoFacesAreNotCosigned(t *testing.T) {
	w := tlogtest.New(t, origin, 1)
	policy := tlogtest.Parse(t, w.Policy(1))
	honest, forked := w.Open(t, t.TempDir()), w.Open(t, t.TempDir())
	if _, err := collect(w, honest, policy, grow(t, honest, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(w, forked, policy, grow(t, forked, "a", "x")); err == nil || !strings.Contains(err.Error(), "two faces") {
		t.Errorf("the same size with another root: %v", err)
	}
	if _, err := collect(w, forked, policy, grow(t, forked, "y")); err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("a larger tree that continues another: %v", err)
	}
	back := w.Open(t, t.TempDir())
	if _, err := collect(w, back, policy, grow(t, back, "a")); err == nil || !strings.Contains(err.Error(), "old copy") {
		t.Errorf("a smaller tree: %v", err)
	}
}

func TestWitnessRemembers(t *testing.T) {
	w := tlogtest.New(t, origin, 1)
	l := w.Open(t, t.TempDir())
	policy := tlogtest.Parse(t, w.Policy(1))
	if _, err := collect(w, l, policy, grow(t, l, "a", "b")); err != nil {
		t.Fatal(err)
	}
	one := w.Witnesses[0]
	one.Stop()
	one.Run(t)
	policy = tlogtest.Parse(t, w.Policy(1))
	forked := w.Open(t, t.TempDir())
	if _, err := collect(w, forked, policy, grow(t, forked, "a", "x")); err == nil {
		t.Error("after a restart it cosigns another history")
	}
	if _, err := collect(w, l, policy, grow(t, l, "c")); err != nil {
		t.Errorf("after a restart it does not go on: %v", err)
	}
	one.Stop()
	files, err := filepath.Glob(filepath.Join(one.Config.Dir, firmware.Sum([]byte(origin)).String()[:16]+".*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := witness.Open(one.Config); err == nil {
		t.Error("it starts without what it has seen")
	}
}

// The answers of C2SP tlog-witness.
func TestAnswers(t *testing.T) {
	w, other := tlogtest.New(t, origin, 1), tlogtest.New(t, "other.example", 0)
	impostor := tlogtest.New(t, origin, 0)
	l := w.Open(t, t.TempDir())
	c := grow(t, l, "a", "b", "c")
	way, err := l.Consistency(context.Background(), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.Open(t, t.TempDir())
	forged := impostor.Open(t, t.TempDir())
	post := func(body []byte) (int, string, string) {
		resp, err := http.Post(w.Witnesses[0].URL+"/any/prefix/add-checkpoint", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
	}
	for _, test := range []struct {
		name string
		body []byte
		want int
		text string
	}{
		{"nonsense", []byte("hello"), 400, ""},
		{"leading zero", witness.Request{Checkpoint: c.Bytes, Old: 0}.Encode()[4:], 400, ""},
		{"unknown log", witness.Request{Checkpoint: grow(t, foreign, "a").Bytes}.Encode(), 404, ""},
		{"not the log's key", witness.Request{Checkpoint: grow(t, forged, "a").Bytes}.Encode(), 403, ""},
		{"old above", witness.Request{Old: 4, Checkpoint: c.Bytes}.Encode(), 400, ""},
		{"old never seen", witness.Request{Old: 2, Proof: way, Checkpoint: c.Bytes}.Encode(), 409, "0\n"},
		{"proof of nothing", witness.Request{Old: 0, Proof: way, Checkpoint: c.Bytes}.Encode(), 422, ""},
		{"first", witness.Request{Old: 0, Checkpoint: c.Bytes}.Encode(), 200, "— w0.example.net/witness "},
		{"old no longer", witness.Request{Old: 0, Checkpoint: c.Bytes}.Encode(), 409, "3\n"},
		{"again", witness.Request{Old: 3, Checkpoint: c.Bytes}.Encode(), 200, "— w0.example.net/witness "},
		{"wrong proof", witness.Request{Old: 3, Proof: way, Checkpoint: grow(t, l, "d").Bytes}.Encode(), 422, ""},
	} {
		status, kind, text := post(test.body)
		if status != test.want || !strings.HasPrefix(text, test.text) {
			t.Errorf("%s: %d %q, want %d %q", test.name, status, text, test.want, test.text)
		}
		if status == 409 && kind != "text/x.tlog.size" {
			t.Errorf("%s: Content-Type %q", test.name, kind)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("old 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nlog\n2\nAAAA\n\n— log AAAA\n"))
	f.Add([]byte("old 0\n\nx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := witness.ParseRequest(b)
		if err == nil && !bytes.Equal(r.Encode(), b) {
			t.Errorf("%q prints as %q", b, r.Encode())
		}
	})
}
