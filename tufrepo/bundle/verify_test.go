package bundle

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/listing"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func newKey(t testing.TB) keyfile.Signer {
	t.Helper()
	key, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keyfile.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A product's file is accepted by the signatures by which go-tuf accepts it.
func TestVerifyAgreesWithGoTUF(t *testing.T) {
	keys := []keyfile.Signer{newKey(t), newKey(t), newKey(t)}
	stranger := newKey(t)
	targets := metadata.Targets(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	role := metadata.DelegatedRole{Name: "cam", Threshold: 2, Terminating: true, Paths: []string{"cam/*"}}
	targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, k := range keys {
		targets.Signed.Delegations.Keys[k.ID()] = k.TUFKey()
		role.KeyIDs = append(role.KeyIDs, k.ID())
	}
	targets.Signed.Delegations.Roles = []metadata.DelegatedRole{role}
	altered := func(m *listing.Meta) { m.Signed.Targets["cam/1.0.0.json"].Length++ }
	for name, tc := range map[string]struct {
		by     []keyfile.Signer
		change func(m *listing.Meta)
		role   string
		want   bool
	}{
		"nobody":          {},
		"one":             {by: keys[:1]},
		"two":             {by: keys[:2], want: true},
		"all":             {by: keys, want: true},
		"one and a guest": {by: []keyfile.Signer{keys[0], stranger}},
		"two and a guest": {by: []keyfile.Signer{keys[0], stranger, keys[2]}, want: true},
		"altered":         {by: keys, change: altered},
		"one twice":       {by: keys[:1], change: func(m *listing.Meta) { m.Signatures = append(m.Signatures, m.Signatures[0]) }},
		"another's name": {by: keys[:1], change: func(m *listing.Meta) {
			m.Signatures = append(m.Signatures, m.Signatures[0])
			m.Signatures[1].KeyID = keys[1].ID()
		}},
		"damaged and two":  {by: keys, change: func(m *listing.Meta) { m.Signatures[0].Signature[0]++ }, want: true},
		"damaged":          {by: keys[:2], change: func(m *listing.Meta) { m.Signatures[0].Signature[0]++ }},
		"another's role":   {by: keys, role: "gateway"},
		"a word not plain": {by: keys, change: func(m *listing.Meta) { m.Signed.UnrecognizedFields["x-a"] = "ä" }},
	} {
		m := metadata.Targets(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
		m.Signed.UnrecognizedFields = map[string]any{}
		path, entry := newEntry(t)
		m.Signed.Targets[path] = entry
		for _, k := range tc.by {
			if err := SignMetadata(m, k); err != nil {
				t.Fatal(err)
			}
		}
		if tc.change != nil {
			tc.change(m)
		}
		if tc.role == "" {
			tc.role = "cam"
		}
		ours, theirs := verifyProduct(targets, tc.role, &Doc[metadata.TargetsType]{Meta: m}), targets.VerifyDelegate(tc.role, m)
		if (ours == nil) != tc.want || (theirs == nil) != tc.want {
			t.Errorf("%s: %v, go-tuf says %v", name, ours, theirs)
		}
		if read := verifyAsRead(t, targets, tc.role, m); (read == nil) != tc.want {
			t.Errorf("%s, as it is read: %v", name, read)
		}
	}
}

// verifyAsRead is by what the text says of what is signed, where it is a listing.
func verifyAsRead(t *testing.T, targets *listing.Meta, role string, m *listing.Meta) error {
	t.Helper()
	raw, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read[metadata.TargetsType]("1.cam.json", raw)
	if err != nil {
		return err
	}
	return verifyProduct(targets, role, d)
}

func newEntry(t *testing.T) (path string, entry *metadata.TargetFiles) {
	t.Helper()
	sum, custom := firmware.Sum(nil), json.RawMessage(`{"counter":1,"hardware":["cam-rev-b"],"product":"cam","version":"1.0.0"}`)
	path = firmware.TargetPath("cam", "1.0.0")
	return path, &metadata.TargetFiles{Path: path, Length: 7, Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: &custom}
}
