package tlog_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

var update = flag.Bool("update", false, "write the golden files")

// party is a log or a witness with its key.
type party struct {
	vkey   string
	signer note.Signer
}

func newLog(t testing.TB, origin string) party {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return party{vkey, s}
}

func newWitness(t testing.TB, name string) party {
	t.Helper()
	skey, plain, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f_note.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := f_note.VKeyToCosignatureV1(plain)
	if err != nil {
		t.Fatal(err)
	}
	return party{vkey, s}
}

// world is a log, three witnesses, and a policy that wants two of them.
type world struct {
	log       party
	witnesses []party
	policy    string
}

func newWorld(t testing.TB) *world {
	w := &world{log: newLog(t, "fw.example.com/releases")}
	w.policy = "log " + w.log.vkey + "\n"
	for i := range 3 {
		p := newWitness(t, fmt.Sprintf("witness%d.example.net/w", i))
		w.witnesses = append(w.witnesses, p)
		w.policy += fmt.Sprintf("witness w%d %s\n", i, p.vkey)
	}
	w.policy += "group all-of-us 2 w0 w1 w2\nquorum all-of-us\n"
	return w
}

// prove makes a proof for entry as number index of a log in which depth hashes
// lead to the root, which these signers sign.
func prove(t testing.TB, entry []byte, index uint64, depth int, origin string, signers ...note.Signer) []byte {
	t.Helper()
	hash := tlog.Hash(entry)
	p := tlog.Proof{Index: index}
	var way [][]byte
	for i := range depth {
		h := sha256.Sum256([]byte{byte(i)})
		p.Hashes, way = append(p.Hashes, h), append(way, h[:])
	}
	size := uint64(1) << depth
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, index, size, hash[:], way)
	if err != nil {
		t.Fatal(err)
	}
	text := f_log.Checkpoint{Origin: origin, Size: size, Hash: root}.Marshal()
	p.Checkpoint, err = note.Sign(&note.Note{Text: string(text)}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return p.Encode()
}

func leaf(t testing.TB) []byte {
	t.Helper()
	l, err := tlog.NewLeaf("cam/1.0.0.json", firmware.Blob{Length: 480, SHA256: firmware.Sum([]byte("m"))},
		[]byte(`{"counter":1,"hardware":["acme,c1"],"product":"cam","version":"1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, text string) *tlog.Policy {
	t.Helper()
	p, err := tlog.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProofHolds(t *testing.T) {
	w := newWorld(t)
	entry := leaf(t)
	for name, signers := range map[string][]note.Signer{
		"two witnesses":   {w.log.signer, w.witnesses[0].signer, w.witnesses[2].signer},
		"three":           {w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer, w.witnesses[2].signer},
		"and a stranger":  {w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer, newWitness(t, "x.example").signer},
		"out of order":    {w.witnesses[2].signer, w.witnesses[0].signer, w.log.signer},
		"an older log id": {w.log.signer, newLog(t, "fw.example.com/releases").signer, w.witnesses[0].signer, w.witnesses[1].signer},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, w.policy).Verify(entry, prove(t, entry, 73, 20, w.log.signer.Name(), signers...))
			if err != nil {
				t.Fatal(err)
			}
			if got.Index != 73 || got.Size != 1<<20 || len(got.Cosigned) < 2 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestProofDoesNotHold(t *testing.T) {
	w := newWorld(t)
	entry := leaf(t)
	origin := w.log.signer.Name()
	good := prove(t, entry, 3, 2, origin, w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer)
	swap := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	tests := map[string]struct {
		raw  []byte
		want string
	}{
		"one witness": {prove(t, entry, 3, 2, origin, w.log.signer, w.witnesses[0].signer), "policy wants 2 of (w0, w1, w2)"},
		"one witness twice": {prove(t, entry, 3, 2, origin, w.log.signer, w.witnesses[0].signer, w.witnesses[0].signer),
			"policy wants 2 of (w0, w1, w2)"},
		"no log key": {prove(t, entry, 3, 2, origin, w.witnesses[0].signer, w.witnesses[1].signer), "not signed by a log of the policy"},
		"another log of that name": {prove(t, entry, 3, 2, origin, newLog(t, origin).signer, w.witnesses[0].signer, w.witnesses[1].signer),
			"not signed by a log of the policy"},
		"another origin": {prove(t, entry, 3, 2, "other.example", w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer),
			"not signed by a log of the policy under that name"},
		"another entry": {prove(t, []byte("another"), 3, 2, origin, w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer),
			"not entry 3 of log"},
		"another index":      {swap("index 3", "index 2"), "not entry 2 of log"},
		"index beyond":       {swap("index 3", "index 4"), "beyond"},
		"index with a zero":  {swap("index 3", "index 03"), "one form"},
		"carriage return":    {swap("index 3\n", "index 3\r\n"), "one form"},
		"extra data":         {swap("index 3", "extra AAAA\nindex 3"), "one form"},
		"altered checkpoint": {swap("\n4\n", "\n5\n"), "not signed"},
		"cut off":            {good[:len(good)-20], ""},
		"something behind":   {append(bytes.Clone(good), "\n"...), ""},
		"too large":          {append(bytes.Clone(good), make([]byte, tlog.MaxProof)...), "at most 16384"},
		"nothing":            {nil, "expected header"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, w.policy).Verify(entry, test.raw)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
	_, err := parse(t, w.policy).Verify(entry, tests["one witness"].raw)
	if !errors.Is(err, tlog.ErrQuorum) {
		t.Errorf("too few witnesses are not ErrQuorum: %v", err)
	}
}

func TestLeafHasOneForm(t *testing.T) {
	b := leaf(t)
	l, err := tlog.ParseLeaf(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.Encode(); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%s, %v", again, err)
	}
	golden(t, "leaf.json", b)
	for name, bad := range map[string]string{
		"space":          strings.Replace(string(b), ":", ": ", 1),
		"order":          strings.Replace(string(b), `{"counter":1,`, `{`, 1)[:len(b)-13] + `,"counter":1}`,
		"more":           strings.Replace(string(b), `{`, `{"a":1,`, 1),
		"escape":         strings.Replace(string(b), `"cam"`, `"c\u0061m"`, 1),
		"type":           strings.Replace(string(b), `release/v1`, `release/v2`, 1),
		"path":           strings.Replace(string(b), `cam/1.0.0.json`, `cam/1.0.1.json`, 1),
		"counter":        strings.Replace(string(b), `"counter":1`, `"counter":0`, 1),
		"hardware":       strings.Replace(string(b), `acme,c1`, `acme c1`, 1),
		"no hardware":    strings.Replace(string(b), `["acme,c1"]`, `[]`, 1),
		"no manifest":    strings.Replace(string(b), `"length":480`, `"length":0`, 1),
		"upper hash":     strings.Replace(string(b), `"sha256":"`, `"sha256":"A`, 1),
		"newline":        string(b) + "\n",
		"nothing at all": "",
	} {
		if _, err := tlog.ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%s: %s passes", name, bad)
		}
	}
}

func TestLeafOfManifestAndOfTarget(t *testing.T) {
	raw, err := os.ReadFile("testdata/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	a, err := tlog.LeafOfManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tlog.NewLeaf(a.Path, firmware.Blob{Length: int64(len(raw)), SHA256: firmware.Sum(raw)},
		fmt.Appendf(nil, `{"version":%q,"product":%q,"hardware":["acme,hub-2"],"counter":%d,"more":1}`, a.Version, a.Product, a.Counter))
	if err != nil {
		t.Fatal(err)
	}
	x, _ := a.Encode()
	y, err := b.Encode()
	if err != nil || !bytes.Equal(x, y) {
		t.Errorf("%s\n%s\n%v", x, y, err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n%v", name, got, want, err)
	}
}

// The proof of the golden files was made once, with keys that nobody has kept.
func TestGoldenProofHolds(t *testing.T) {
	if *update {
		w := newWorld(t)
		entry := leaf(t)
		raw := prove(t, entry, 2, 3, w.log.signer.Name(), w.log.signer, w.witnesses[0].signer, w.witnesses[2].signer)
		golden(t, "policy.txt", []byte(w.policy))
		golden(t, "cam-1.0.0.tlog-proof", raw)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got, err := parse(t, string(read("policy.txt"))).Verify(read("leaf.json"), read("cam-1.0.0.tlog-proof"))
	if err != nil || got.Index != 2 || got.Size != 8 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestProofFitsTwoKilobytes(t *testing.T) {
	w := newWorld(t)
	raw := prove(t, leaf(t), 999_999, 20, w.log.signer.Name(), w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer, w.witnesses[2].signer)
	if len(raw) > 2048 {
		t.Errorf("%d bytes", len(raw))
	}
}

// BenchmarkVerify: what a device does for a release of a log of 1,048,576
// entries with three witnesses, the policy parsed each time.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	entry := leaf(b)
	raw := prove(b, entry, 999_999, 20, w.log.signer.Name(), w.log.signer, w.witnesses[0].signer, w.witnesses[1].signer, w.witnesses[2].signer)
	for b.Loop() {
		if _, err := parse(b, w.policy).Verify(entry, raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(raw)), "B/proof")
}
