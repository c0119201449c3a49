package direction_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

var issued = time.Date(2026, 9, 1, 10, 0, 0, 0, time.UTC)

// key is a director's online key.
type key struct {
	signature.Signer
	tuf *metadata.Key
	id  string
}

func (k key) ID() string { return k.id }

func newKey(t testing.TB, priv crypto.Signer) key {
	t.Helper()
	s, err := signature.LoadSigner(priv, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	tuf, err := metadata.KeyFromPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := tuf.ID()
	if err != nil {
		t.Fatal(err)
	}
	return key{s, tuf, id}
}

func ed25519Key(t testing.TB) key {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, priv)
}

func p256Key(t testing.TB) key {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, priv)
}

// rootFor is a director root whose targets role is held by keys.
func rootFor(t testing.TB, threshold int, keys ...key) *metadata.Metadata[metadata.RootType] {
	t.Helper()
	root := metadata.Root(issued.AddDate(1, 0, 0))
	for _, k := range keys {
		if err := root.Signed.AddKey(k.tuf, metadata.TARGETS); err != nil {
			t.Fatal(err)
		}
	}
	root.Signed.Roles[metadata.TARGETS].Threshold = threshold
	return root
}

func install() direction.Direction {
	return direction.Direction{
		Tenant: "acme", Device: "9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001", Hardware: "base-unit-1", Version: 7,
		Issued: issued, Expires: issued.Add(7 * 24 * time.Hour), Update: "4e1d0a52-52a8-4a3f-9a39-0d8c7a6b5c4d",
		Target: &direction.Target{Path: "base/1.1.0.json", Length: 812, SHA256: firmware.Sum([]byte("manifest")), Counter: 2},
	}
}

func nothing() direction.Direction {
	d := install()
	d.Update, d.Target = "", nil
	return d
}

func sign(t testing.TB, d direction.Direction, k key) []byte {
	t.Helper()
	raw, err := direction.Sign(d, k)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func equal(a, b direction.Direction) bool {
	if (a.Target == nil) != (b.Target == nil) {
		return false
	}
	if a.Target != nil && *a.Target != *b.Target {
		return false
	}
	a.Target, b.Target = nil, nil
	return a == b
}

func TestRoundTrip(t *testing.T) {
	for name, k := range map[string]key{"ed25519": ed25519Key(t), "ecdsa-p256": p256Key(t)} {
		for what, d := range map[string]direction.Direction{"install": install(), "nothing": nothing()} {
			t.Run(name+"/"+what, func(t *testing.T) {
				raw := sign(t, d, k)
				got, err := direction.Verify(raw, rootFor(t, 1, k), issued)
				if err != nil || !equal(got, d) {
					t.Fatalf("Verify = %+v, %v; want %+v", got, err, d)
				}
				if got, err := direction.Unverified(raw); err != nil || !equal(got, d) {
					t.Fatalf("Unverified = %+v, %v; want %+v", got, err, d)
				}
				if len(raw) > 1500 {
					t.Errorf("a direction takes %d bytes, it is meant to fit one MQTT packet of about 1 KiB", len(raw))
				}
			})
		}
	}
}

func TestSignRefusesWhatVerifyWouldRefuse(t *testing.T) {
	for name, change := range map[string]func(*direction.Direction){
		"no tenant":              func(d *direction.Direction) { d.Tenant = "" },
		"no device":              func(d *direction.Direction) { d.Device = "" },
		"no hardware":            func(d *direction.Direction) { d.Hardware = "" },
		"version zero":           func(d *direction.Direction) { d.Version = 0 },
		"version beyond 2^53":    func(d *direction.Direction) { d.Version = 1 << 53 },
		"nanoseconds":            func(d *direction.Direction) { d.Expires = d.Expires.Add(1) },
		"other time zone":        func(d *direction.Direction) { d.Issued = d.Issued.In(time.FixedZone("", 3600)) },
		"expires before issued":  func(d *direction.Direction) { d.Expires = d.Issued },
		"target without update":  func(d *direction.Direction) { d.Update = "" },
		"update not a uuid":      func(d *direction.Direction) { d.Update = "again" },
		"update without target":  func(d *direction.Direction) { d.Target = nil },
		"path outside a product": func(d *direction.Direction) { d.Target.Path = "../base/1.json" },
		"no length":              func(d *direction.Direction) { d.Target.Length = 0 },
		"no hash":                func(d *direction.Direction) { d.Target.SHA256 = firmware.Digest{} },
		"no counter":             func(d *direction.Direction) { d.Target.Counter = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			d := install()
			change(&d)
			if raw, err := direction.Sign(d, ed25519Key(t)); err == nil {
				t.Fatalf("signed %s", raw)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	k := ed25519Key(t)
	d := install()
	raw, root := sign(t, d, k), rootFor(t, 1, k)
	if _, err := direction.Verify(raw, root, d.Expires.Add(-time.Second)); err != nil {
		t.Errorf("one second before expiry: %v", err)
	}
	for _, late := range []time.Duration{0, time.Hour} {
		got, err := direction.Verify(raw, root, d.Expires.Add(late))
		if !errors.Is(err, direction.ErrExpired) || !equal(got, d) {
			t.Errorf("%s after expiry: %+v, %v; want the direction and ErrExpired", late, got, err)
		}
	}
}

func TestSignatures(t *testing.T) {
	ours, other := ed25519Key(t), ed25519Key(t)
	raw := sign(t, install(), ours)
	for name, root := range map[string]*metadata.Metadata[metadata.RootType]{
		"another key":                 rootFor(t, 1, other),
		"one of two where two needed": rootFor(t, 2, ours, other),
		"no key at all":               metadata.Root(issued.AddDate(1, 0, 0)),
	} {
		if _, err := direction.Verify(raw, root, issued); !errors.Is(err, direction.ErrSignature) {
			t.Errorf("%s: %v, want ErrSignature", name, err)
		}
	}
}

// TestEveryByteIsCovered changes each byte in turn: nothing but the bytes that were
// signed passes as another direction.
func TestEveryByteIsCovered(t *testing.T) {
	k := ed25519Key(t)
	d := install()
	raw, root := sign(t, d, k), rootFor(t, 1, k)
	for i := range raw {
		for _, flip := range []byte{1, 0x20, 0x80}[:1+i%3] {
			bad := bytes.Clone(raw)
			bad[i] ^= flip
			got, err := direction.Verify(bad, root, issued)
			if err == nil && !equal(got, d) {
				t.Fatalf("byte %d ^ %#x passes as %+v", i, flip, got)
			}
		}
	}
	for i := range raw {
		if _, err := direction.Verify(raw[:i], root, issued); !errors.Is(err, direction.ErrFormat) {
			t.Fatalf("cut at %d: %v, want ErrFormat", i, err)
		}
	}
}

// signJSON signs whatever the director's key can be made to sign.
func signJSON(t testing.TB, k key, signed string) []byte {
	t.Helper()
	var v any
	dec := json.NewDecoder(strings.NewReader(signed))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	payload, err := cjson.EncodeCanonical(v)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.SignMessage(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	sigs, err := json.Marshal([]metadata.Signature{{KeyID: k.id, Signature: sig}})
	if err != nil {
		t.Fatal(err)
	}
	return []byte(`{"signed":` + signed + `,"signatures":` + string(sigs) + `}`)
}

const (
	head   = `"_type":"targets","spec_version":"1.0.31","version":7,"expires":"2026-09-08T10:00:00Z"`
	sum    = `"sha256":"1f825aa2f0020ef7cf91dfa30da4668d791c5d4824fc8e41354b89ec05795ab3"`
	target = `"base/1.1.0.json":{"length":812,"hashes":{` + sum + `},"custom":{"counter":2,"hardware":"base-unit-1"}}`
	ext    = `"schema":1,"tenant":"acme","device":"9f0c6dfc","hardware":"base-unit-1","issued":"2026-09-01T10:00:00Z"`
	update = `"update":"4e1d0a52-52a8-4a3f-9a39-0d8c7a6b5c4d"`
	good   = `{` + head + `,"targets":{` + target + `},"x-fairlead-direction":{` + ext + `,` + update + `}}`
)

// TestHostileButSigned is what a stolen online key could try.
func TestHostileButSigned(t *testing.T) {
	k := ed25519Key(t)
	root := rootFor(t, 1, k)
	if _, err := direction.Verify(signJSON(t, k, good), root, issued); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	unknown := strings.Replace(good, `"schema":1`, `"later":{"a":["b"]},"schema":1`, 1)
	if _, err := direction.Verify(signJSON(t, k, unknown), root, issued); err != nil {
		t.Fatalf("an unknown member must be ignored: %v", err)
	}
	for name, swap := range map[string][2]string{
		"delegations":      {`"_type":"targets"`, `"_type":"targets","delegations":{"keys":{},"roles":[]}`},
		"null delegations": {`"_type":"targets"`, `"_type":"targets","delegations":null`},
		"two targets":      {`"targets":{`, `"targets":{"base/2.json":{"length":1,"hashes":{` + sum + `},"custom":{"counter":2,"hardware":"base-unit-1"}},`},
		"null target":      {`{"length":812,"hashes":{` + sum + `},"custom":{"counter":2,"hardware":"base-unit-1"}}`, `null`},
		"no custom":        {`,"custom":{"counter":2,"hardware":"base-unit-1"}`, ``},
		"other hardware":   {`"counter":2,"hardware":"base-unit-1"`, `"counter":2,"hardware":"camera-1"`},
		"counter a string": {`"counter":2`, `"counter":"2"`},
		"short hash":       {sum, `"sha256":"1f82"`},
		"second hash":      {sum, sum + `,"sha512":"00"`},
		"no header":        {`"x-fairlead-direction"`, `"x-other"`},
		"header a list":    {`{` + ext + `,` + update + `}`, `[1]`},
		"schema 2":         {`"schema":1`, `"schema":2`},
		"spec 2":           {`1.0.31`, `2.0.0`},
		"snapshot":         {`"_type":"targets"`, `"_type":"snapshot"`},
		"no expiry":        {`"expires":"2026-09-08T10:00:00Z"`, `"expired":"no"`},
		"no update":        {`,` + update, ``},
		"deep":             {`"schema":1`, `"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"schema":1`},
		"huge":             {`"schema":1`, `"a":"` + strings.Repeat("x", direction.MaxSize) + `","schema":1`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, swap[0], swap[1], 1)
			if bad == good {
				t.Fatal("the swap does nothing")
			}
			got, err := direction.Verify(signJSON(t, k, bad), root, issued)
			if !errors.Is(err, direction.ErrFormat) {
				t.Fatalf("Verify = %+v, %v; want ErrFormat", got, err)
			}
		})
	}
}

func TestDoubledMembersAreRefused(t *testing.T) {
	k := ed25519Key(t)
	raw := sign(t, install(), k)
	for _, twin := range []string{`"version":9,`, `"Version":9,`, `"targets":{},`} {
		bad := bytes.Replace(raw, []byte(`"signed":{`), []byte(`"signed":{`+twin), 1)
		if _, err := direction.Verify(bad, rootFor(t, 1, k), issued); !errors.Is(err, direction.ErrFormat) {
			t.Errorf("%s twice: %v, want ErrFormat", twin, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := ed25519Key(f)
	root := rootFor(f, 1, k)
	valid := sign(f, install(), k)
	f.Add(valid)
	f.Add(sign(f, nothing(), k))
	f.Add(sign(f, softly(), k))
	f.Add(sign(f, offline(), k))
	f.Add([]byte(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"_type":"targets","delegations":{"roles":null}},"signatures":[null]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := direction.Verify(raw, root, issued)
		if err == nil && !equal(d, install()) && !equal(d, nothing()) && !equal(d, softly()) && !equal(d, offline()) {
			t.Fatalf("forged %+v", d)
		}
	})
}
