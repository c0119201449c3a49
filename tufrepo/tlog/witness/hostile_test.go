package witness_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

// liar answers add-checkpoint as it likes, with a witness's real key.
type liar struct {
	one   *tlogtest.Witness
	asked atomic.Int32
}

// cosign signs a checkpoint's text as the witness, at whatever time.
func (l *liar) cosign(t *testing.T, text string, at time.Time) string {
	skey := strings.SplitN(l.one.Config.Key, "+", 5)
	seed, err := base64.StdEncoding.DecodeString(skey[len(skey)-1])
	if err != nil {
		t.Fatal(err)
	}
	name, rest, _ := strings.Cut(l.one.Vkey, "+")
	hash, err := hex.DecodeString(rest[:8])
	if err != nil {
		t.Fatal(err)
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at.Unix(), text)
	sig := binary.BigEndian.AppendUint64(hash, uint64(at.Unix()))
	sig = append(sig, ed25519.Sign(ed25519.NewKeyFromSeed(seed[1:]), []byte(message))...)
	return "— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// shown is the text of the checkpoint that a request shows.
func shown(t *testing.T, req *http.Request) string {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		t.Error(err)
	}
	r, err := witness.ParseRequest(raw)
	if err != nil {
		t.Error(err)
	}
	text, _, _ := bytes.Cut(r.Checkpoint, []byte("\n\n"))
	return string(text) + "\n"
}

// Whatever a witness does, it costs no more than its own cosignature.
func TestHostileWitness(t *testing.T) {
	w := tlogtest.New(t, origin, 3)
	log := w.Open(t, t.TempDir())
	c := grow(t, log, "a", "b", "c", "d")
	one := w.Witnesses[2]
	honest := one.URL
	text := func(rw http.ResponseWriter, status int, body string) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	}
	for _, tt := range []struct {
		name   string
		answer func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request)
		want   string
	}{
		{"another origin", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 200, l.cosign(t, strings.Replace(shown(t, req), origin, "other.example", 1), time.Now()))
		}, "does not answer with its cosignature of this checkpoint"},
		{"another root", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 200, l.cosign(t, strings.Replace(shown(t, req), "\n4\n", "\n5\n", 1), time.Now()))
		}, "does not answer with its cosignature of this checkpoint"},
		{"old", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 200, l.cosign(t, shown(t, req), time.Now().Add(-2*time.Hour)))
		}, "it answers with an old one, or one of the clocks is wrong"},
		{"in the future", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 200, l.cosign(t, shown(t, req), time.Now().AddDate(30, 0, 0)))
		}, "one of the clocks is wrong"},
		{"bad signature", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			line := l.cosign(t, shown(t, req), time.Now())
			text(rw, 200, line[:len(line)-6]+"AAA=\n")
		}, "does not answer with its cosignature"},
		{"another's", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 200, (&liar{one: w.Witnesses[0]}).cosign(t, shown(t, req), time.Now()))
		}, "does not answer with its cosignature"},
		{"nothing", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {}, "does not answer with its cosignature"},
		{"larger than the log", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 409, "9223372036854775807\n")
		},
			"has seen 9223372036854775807 entries of the log, and there are only 4"},
		{"two sizes", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 409, fmt.Sprintln((l.asked.Add(1)-1)%2+1))
		}, "is shown how the log continues 1 entries, and answers that it has seen 2: it contradicts itself"},
		{"the size that it was asked for", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 409, "0\n") },
			"continues 0 entries, and answers that it has seen 0"},
		{"another face", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 409, "4\n") }, "the log shows two faces"},
		{"no size", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 409, "4") }, "409 Conflict and no size"},
		{"padded size", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 409, "+4\n") }, "409 Conflict and no size"},
		{"size beyond", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 409, "18446744073709551615\n")
		}, "409 Conflict and no size"},
		{"endless", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			for {
				if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "its answer has more than 16384 bytes"},
		{"never", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			shown(t, req) // the server notices that the client is gone once the body is read
			<-req.Context().Done()
		}, "context deadline exceeded"},
		{"half an answer", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			shown(t, req)
			text(rw, 200, "— w2")
			rw.(http.Flusher).Flush()
			<-req.Context().Done()
		}, "reading its answer: context deadline exceeded"},
		{"elsewhere", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, honest+"/add-checkpoint", http.StatusTemporaryRedirect)
		}, "it answers 307 Temporary Redirect"},
		{"unknown log", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 404, "no such log") },
			`ask those who run it to add the log's line of the policy: "no such log"`},
		{"another key of the log", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) { text(rw, 403, "") }, "it knows the log with another key"},
		{"broken", func(t *testing.T, l *liar, rw http.ResponseWriter, req *http.Request) {
			text(rw, 500, strings.Repeat("x", 4000))
		}, `500 Internal Server Error: "` + strings.Repeat("x", 200) + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &liar{one: one}
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) { tt.answer(t, l, rw, req) }))
			defer server.Close()
			one.URL = server.URL
			missed := map[string]string{}
			ask := witness.Collector{Consistency: log.Consistency, Patience: 500 * time.Millisecond, Grace: 500 * time.Millisecond,
				Missed: func(name string, why error) { missed[name] = why.Error() }}
			policy := tlogtest.Parse(t, w.Policy(2))
			raw, err := ask.Collect(t.Context(), policy, c.Bytes)
			if err != nil {
				t.Fatalf("two of three are honest: %v", err)
			}
			if got, err := policy.Checkpoint(raw); err != nil || len(got.Cosigned) != 2 || len(missed) != 1 {
				t.Errorf("%+v, %v, missed %q", got, err, missed)
			}
			_, err = ask.Collect(t.Context(), tlogtest.Parse(t, w.Policy(3)), c.Bytes)
			if !errors.Is(err, tlog.ErrQuorum) || !strings.Contains(err.Error(), "witness w2: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("three are wanted: got %v, want %q", err, tt.want)
			}
		})
	}
}

// A policy names witnesses as C2SP tlog-policy has it, with https and a prefix.
func TestWitnessBehindTLS(t *testing.T) {
	w := tlogtest.New(t, origin, 1)
	log := w.Open(t, t.TempDir())
	c := grow(t, log, "a")
	server := httptest.NewTLSServer(w.Witnesses[0].Server.Config.Handler)
	defer server.Close()
	policy := tlogtest.Parse(t, "log "+w.Vkey+" https://fw.example.com/log\n\nwitness public "+w.Witnesses[0].Vkey+" "+server.URL+"/some/prefix\n"+
		"# a group of one\ngroup trusted any public\nquorum trusted\n")
	if _, err := (witness.Collector{Consistency: log.Consistency}).Collect(t.Context(), policy, c.Bytes); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	raw, err := witness.Collector{Consistency: log.Consistency, Client: server.Client()}.Collect(t.Context(), policy, c.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := policy.Checkpoint(raw); err != nil || len(got.Cosigned) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
