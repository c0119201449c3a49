package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// newListing is a product's file with n releases, as go-tuf makes it.
func newListing(t testing.TB, n int) *listing {
	t.Helper()
	m := metadata.Targets(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	m.Signed.UnrecognizedFields = map[string]any{"x-fairlead-issued": "2029-01-02T03:04:05Z"}
	for i := range n {
		c := Custom{int64(i + 1), []string{"cam-rev-b", "cam,c"}[:i%3%2+1], "cam", fmt.Sprintf("1.%d.0", i)}
		custom, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		raw, sum := json.RawMessage(custom), firmware.Sum(custom)
		path := firmware.TargetPath(c.Product, c.Version)
		m.Signed.Targets[path] = &metadata.TargetFiles{Path: path, Length: int64(100 * i), Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: &raw}
	}
	m.ClearSignatures()
	return m
}

func printed(t testing.TB, m *listing) []byte {
	t.Helper()
	b, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What this toolchain makes takes the short way, or a product with many releases would take seconds.
func TestListing(t *testing.T) {
	channels := newListing(t, 12)
	channels.Signed.UnrecognizedFields[firmware.ChannelsMember] = map[string]any{"1.3.0": "beta", "1.11.0": "dev"}
	signed := newListing(t, 200)
	for range 2 {
		if err := SignMetadata(signed, newKey(t)); err != nil {
			t.Fatal(err)
		}
	}
	bare := newListing(t, 0)
	bare.Signed.UnrecognizedFields = nil
	for name, m := range map[string]*listing{"channels": channels, "signed": signed, "bare": bare} {
		b := printed(t, m)
		if readListing(b) == nil {
			t.Errorf("%s: %s goes the long way", name, b)
			continue
		}
		sameBothWays(t, b)
	}
}

// sameBothWays holds what the short way makes of b against what go-tuf does. It tells whether there is a short way.
func sameBothWays(t *testing.T, b []byte) bool {
	t.Helper()
	long := &listing{}
	_, longErr := long.FromBytes(b)
	short := readListing(b)
	if short == nil {
		if longErr == nil && long.Signatures != nil {
			samePrinted(t, long)
		}
		return false
	}
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: len(b)}); err != nil || longErr != nil {
		t.Fatalf("the short way takes %q, others say %v, %v", b, err, longErr)
	}
	if err := checkPrintsBack(long, b); err != nil {
		t.Fatalf("the short way takes %q: %v", b, err)
	}
	if !reflect.DeepEqual(short, long) {
		t.Fatalf("the short way reads %q as\n%+v, the long one as\n%+v", b, short, long)
	}
	samePrinted(t, short)
	return true
}

func samePrinted(t *testing.T, m *listing) {
	t.Helper()
	if got := printListing(m); got != nil && !bytes.Equal(got, printed(t, m)) {
		t.Fatalf("printed %q, go-tuf prints %q", got, printed(t, m))
	}
	payload := appendSigned(nil, &m.Signed)
	if payload == nil {
		return
	}
	want, err := cjson.EncodeCanonical(m.Signed)
	if err != nil || !bytes.Equal(payload, want) {
		t.Fatalf("signed would be %q, canonical JSON is %q, %v", payload, want, err)
	}
}

// notListings are near to one.
func notListings(t testing.TB) map[string]string {
	good := string(printed(t, newListing(t, 2)))
	all := map[string]string{}
	for name, change := range map[string][2]string{
		"space":            {`"version":1`, `"version": 1`},
		"escape":           {`"cam-rev-b"`, `"cam-rev-\u0062"`},
		"slash":            {`cam/1.0.0`, `cam\/1.0.0`},
		"HTML":             {`"cam-rev-b"`, `"cam<rev"`},
		"not ASCII":        {`"cam-rev-b"`, `"cäm"`},
		"control":          {`"cam-rev-b"`, "\"c\x7fm\""},
		"leading zero":     {`"version":1`, `"version":01`},
		"minus zero":       {`"length":0`, `"length":-0`},
		"fraction":         {`"version":1`, `"version":1.0`},
		"null":             {`"length":0`, `"length":null`},
		"upper case hash":  {`"sha256":"`, `"sha256":"AB`},
		"another hash":     {`"sha256":"`, `"sha512":"`},
		"two hashes":       {`"hashes":{`, `"hashes":{"md5":"00",`},
		"no hash":          {`{"sha256":"`, `{"sha256":"","x":"`},
		"member of target": {`"length":0`, `"length":0,"more":1`},
		"member of custom": {`"counter":1,`, `"counter":1,"extra":1,`},
		"order of custom":  {`{"counter":1,"hardware":["cam-rev-b"]`, `{"hardware":["cam-rev-b"],"counter":1`},
		"counter twice":    {`"counter":1,`, `"counter":1,"counter":1,`},
		"target twice":     {`"cam/1.1.0.json"`, `"cam/1.0.0.json"`},
		"case of targets":  {`"targets":{`, `"targets":{"CAM/1.0.0.json":{"custom":{"counter":7,"hardware":["x"],"product":"CAM","version":"1.0.0"},"hashes":{"sha256":"00"},"length":1},`},
		"order of targets": {`"targets":{`, `"targets":{"zzz/1.0.0.json":{"custom":{"counter":7,"hardware":["x"],"product":"zzz","version":"1.0.0"},"hashes":{"sha256":"00"},"length":1},`},
		"early member":     {`"_type":"targets"`, `"_aaa":"x","_type":"targets"`},
		"delegations":      {`"expires"`, `"delegations":{"keys":{},"roles":[]},"expires"`},
		"list behind":      {`"version":1`, `"version":1,"x-list":["a"]`},
		"number behind":    {`"version":1`, `"version":1,"x-number":7`},
		"null behind":      {`"version":1`, `"version":1,"x-null":null`},
		"deep behind":      {`"version":1`, `"version":1,"x-deep":{"a":{"b":"c"}}`},
		"twice behind":     {`"version":1`, `"version":1,"x-a":"1","x-a":"1"`},
		"case behind":      {`"version":1`, `"version":1,"x-A":"1","x-a":"1"`},
		"order behind":     {`"version":1`, `"version":1,"x-z":"1"`},
		"version behind":   {`"version":1`, `"version":1,"version":"1"`},
		"nanoseconds":      {`05Z","spec`, `05.5Z","spec`},
		"offset":           {`05Z","spec`, `05+00:00","spec`},
		"outside":          {`{"signatures"`, `{"a":1,"signatures"`},
		"another type":     {`"_type":"targets"`, `"_type":"snapshot"`},
		"no signatures":    {`"signatures":[]`, `"signatures":null`},
		"signed twice":     {`"signatures":[]`, `"signatures":[{"keyid":"ab","sig":"00"},{"keyid":"ab","sig":"01"}]`},
		"signature and":    {`"signatures":[]`, `"signatures":[{"keyid":"ab","sig":"00","x":1}]`},
	} {
		changed := strings.Replace(good, change[0], change[1], 1)
		if changed == good {
			t.Fatalf("%s: the test changes nothing", name)
		}
		all[name] = changed
	}
	all["more"], all["cut off"], all["empty"] = good+"\n", good[:len(good)-1], ""
	return all
}

func TestNotAListing(t *testing.T) {
	for name, text := range notListings(t) {
		t.Run(name, func(t *testing.T) {
			if sameBothWays(t, []byte(text)) {
				t.Errorf("the short way takes %s", text)
			}
		})
	}
}

func FuzzListing(f *testing.F) {
	for _, text := range notListings(f) {
		f.Add([]byte(text))
	}
	f.Add(printed(f, newListing(f, 3)))
	f.Fuzz(func(t *testing.T, b []byte) { sameBothWays(t, b) })
}

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
	altered := func(m *listing) { m.Signed.Version++ }
	for name, tc := range map[string]struct {
		by     []keyfile.Signer
		change func(m *listing)
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
		"one twice":       {by: keys[:1], change: func(m *listing) { m.Signatures = append(m.Signatures, m.Signatures[0]) }},
		"another's name": {by: keys[:1], change: func(m *listing) {
			m.Signatures = append(m.Signatures, m.Signatures[0])
			m.Signatures[1].KeyID = keys[1].ID()
		}},
		"damaged and two":  {by: keys, change: func(m *listing) { m.Signatures[0].Signature[0]++ }, want: true},
		"damaged":          {by: keys[:2], change: func(m *listing) { m.Signatures[0].Signature[0]++ }},
		"another's role":   {by: keys, role: "gateway"},
		"a word not plain": {by: keys, change: func(m *listing) { m.Signed.UnrecognizedFields["x-a"] = "ä" }},
	} {
		m := newListing(t, 3)
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
		ours, theirs := verify(targets, tc.role, m), targets.VerifyDelegate(tc.role, m)
		if (ours == nil) != tc.want || (theirs == nil) != tc.want {
			t.Errorf("%s: %v, go-tuf says %v", name, ours, theirs)
		}
	}
}
