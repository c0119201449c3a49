package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/listing"
)

// A role's file is taken without go-tuf only where go-tuf would take it; and what this toolchain makes is taken without it.
func TestVouchedAgreesWithGoTUF(t *testing.T) {
	edwards, other, p256, p384, rsaKey := newEd25519(t), newEd25519(t), newECDSA(t, elliptic.P256()), newECDSA(t, elliptic.P384()), newRSA(t)
	twin := map[string]any{"x-label": "the same key under another id"}
	for name, tc := range map[string]struct {
		keys      []crypto.Signer
		twin      bool // the first key is listed under a second id
		threshold int
		by        []int // numbers of keys, the twin's behind them
		change    func(m *listing.Meta, d *metadata.Delegations)
		want      bool // go-tuf takes it
		long      bool // though we leave that to go-tuf
	}{
		"one":                 {keys: []crypto.Signer{edwards}, threshold: 1, by: []int{0}, want: true},
		"P-256":               {keys: []crypto.Signer{p256, edwards}, threshold: 2, by: []int{0, 1}, want: true},
		"RSA":                 {keys: []crypto.Signer{rsaKey}, threshold: 1, by: []int{0}, want: true, long: true},
		"RSA and enough":      {keys: []crypto.Signer{rsaKey, edwards}, threshold: 1, by: []int{0, 1}, want: true},
		"P-384":               {keys: []crypto.Signer{p384}, threshold: 1, by: []int{0}, want: true, long: true},
		"nobody":              {keys: []crypto.Signer{edwards}, threshold: 1},
		"too few":             {keys: []crypto.Signer{edwards, other}, threshold: 2, by: []int{1}},
		"one under two ids":   {keys: []crypto.Signer{edwards, other}, twin: true, threshold: 2, by: []int{0, 2}},
		"that and another":    {keys: []crypto.Signer{edwards, other}, twin: true, threshold: 2, by: []int{0, 1, 2}, want: true},
		"an id listed twice":  {keys: []crypto.Signer{edwards, other}, threshold: 2, by: []int{0}, change: listTwice},
		"no threshold":        {keys: []crypto.Signer{edwards}, threshold: 0, by: []int{0}},
		"negative threshold":  {keys: []crypto.Signer{edwards}, threshold: -1, by: []int{0}},
		"altered":             {keys: []crypto.Signer{edwards}, threshold: 1, by: []int{0}, change: alter},
		"a damaged signature": {keys: []crypto.Signer{edwards}, threshold: 1, by: []int{0}, change: damage},
		"another's name":      {keys: []crypto.Signer{edwards, other}, threshold: 1, by: []int{0}, change: rename},
		"not entitled":        {keys: []crypto.Signer{edwards, other}, threshold: 1, by: []int{1}, change: dismiss},
		"another role":        {keys: []crypto.Signer{edwards}, threshold: 1, by: []int{0}, change: reassign},
	} {
		t.Run(name, func(t *testing.T) {
			targets := metadata.Targets(time.Now().Add(time.Hour))
			d := &metadata.Delegations{Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{{Name: "cam", Threshold: tc.threshold}}}
			targets.Signed.Delegations = d
			signers := tc.keys
			for i := range tc.keys {
				enter(t, d, tc.keys[i], nil)
			}
			if tc.twin {
				signers = append(signers[:len(signers):len(signers)], tc.keys[0])
				enter(t, d, tc.keys[0], twin)
			}
			m := newListing(t)
			for _, i := range tc.by {
				sign(t, m, d.Roles[0].KeyIDs[i], signers[i])
			}
			if tc.change != nil {
				tc.change(m, d)
			}
			raw := listing.Print(m)
			read, signed := listing.Read(raw)
			if read == nil {
				t.Fatalf("%s is no listing", raw)
			}
			theirs := targets.VerifyDelegate("cam", read)
			ours := vouched(d, "cam", read.Signatures, signed)
			if (theirs == nil) != tc.want || ours != (tc.want && !tc.long) {
				t.Errorf("taken at once: %v; go-tuf says %v", ours, theirs)
			}
		})
	}
}

func listTwice(_ *listing.Meta, d *metadata.Delegations) {
	d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, d.Roles[0].KeyIDs[0])
}
func alter(m *listing.Meta, _ *metadata.Delegations)    { m.Signed.Targets["cam/1.0.0.json"].Length++ }
func damage(m *listing.Meta, _ *metadata.Delegations)   { m.Signatures[0].Signature[5]++ }
func rename(m *listing.Meta, d *metadata.Delegations)   { m.Signatures[0].KeyID = d.Roles[0].KeyIDs[1] }
func dismiss(_ *listing.Meta, d *metadata.Delegations)  { d.Roles[0].KeyIDs = d.Roles[0].KeyIDs[:1] }
func reassign(_ *listing.Meta, d *metadata.Delegations) { d.Roles[0].Name = "gateway" }

func newEd25519(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// enter lists a key under the id of its form with these members.
func enter(t *testing.T, d *metadata.Delegations, s crypto.Signer, members map[string]any) {
	t.Helper()
	key, err := metadata.KeyFromPublicKey(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	key.UnrecognizedFields = members
	id, err := key.ID()
	if err != nil {
		t.Fatal(err)
	}
	d.Keys[id] = key
	d.Roles[0].KeyIDs = append(d.Roles[0].KeyIDs, id)
}

func sign(t *testing.T, m *listing.Meta, id string, key crypto.Signer) {
	t.Helper()
	s, err := signature.LoadSigner(key, crypto.SHA256)
	if k, ok := key.(*rsa.PrivateKey); ok {
		s, err = signature.LoadRSAPSSSigner(k, crypto.SHA256, &rsa.PSSOptions{Hash: crypto.SHA256})
	}
	if err != nil {
		t.Fatal(err)
	}
	made, err := m.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	made.KeyID, m.Signatures[len(m.Signatures)-1].KeyID = id, id
}

func newListing(t *testing.T) *listing.Meta {
	t.Helper()
	m := metadata.Targets(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	sum, custom := firmware.Sum(nil), json.RawMessage(`{"counter":1,"hardware":["cam-b"],"product":"cam","version":"1.0.0"}`)
	path := firmware.TargetPath("cam", "1.0.0")
	m.Signed.Targets[path] = &metadata.TargetFiles{Path: path, Length: 7, Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: &custom}
	m.ClearSignatures()
	return m
}
