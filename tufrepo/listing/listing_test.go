package listing

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
func newListing(t testing.TB, n int) *Meta {
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

func printed(t testing.TB, m *Meta) []byte {
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
		key, err := keyfile.Generate(keyfile.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		s, err := keyfile.NewSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed.Sign(s); err != nil {
			t.Fatal(err)
		}
	}
	bare := newListing(t, 0)
	bare.Signed.UnrecognizedFields = nil
	for name, m := range map[string]*Meta{"channels": channels, "signed": signed, "bare": bare} {
		b := printed(t, m)
		if m, _ := Read(b); m == nil {
			t.Errorf("%s: %s goes the long way", name, b)
			continue
		}
		sameBothWays(t, b)
	}
}

// sameBothWays holds what the short way makes of b against what go-tuf does. It tells whether there is a short way.
func sameBothWays(t *testing.T, b []byte) bool {
	t.Helper()
	long := &Meta{}
	_, longErr := long.FromBytes(b)
	short, signed := Read(b)
	if short == nil {
		if longErr == nil && long.Signatures != nil {
			samePrinted(t, long)
		}
		return false
	}
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: len(b)}); err != nil || longErr != nil {
		t.Fatalf("the short way takes %q, others say %v, %v", b, err, longErr)
	}
	if len(long.UnrecognizedFields) > 0 || !bytes.Equal(printed(t, long), b) {
		t.Fatalf("the short way takes %q, go-tuf prints %q", b, printed(t, long))
	}
	want, err := cjson.EncodeCanonical(long.Signed)
	if err != nil || !bytes.Equal(signed, want) {
		t.Fatalf("what is signed is read as %q, canonical JSON is %q, %v", signed, want, err)
	}
	if !bytes.Equal(Join(long.Signatures, signed), b) {
		t.Fatalf("signatures are joined to %q as %q", signed, Join(long.Signatures, signed))
	}
	for _, t := range long.Signed.Targets { // go-tuf makes an empty one for each
		t.UnrecognizedFields = nil
	}
	if !reflect.DeepEqual(short, long) {
		t.Fatalf("the short way reads %q as\n%+v, the long one as\n%+v", b, short, long)
	}
	samePrinted(t, short)
	return true
}

func samePrinted(t *testing.T, m *Meta) {
	t.Helper()
	if got := Print(m); got != nil && !bytes.Equal(got, printed(t, m)) {
		t.Fatalf("printed %q, go-tuf prints %q", got, printed(t, m))
	}
	payload := Signed(m)
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
	_, hash, _ := strings.Cut(good, `"sha256":"`)
	hash = hash[:64]
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
		"upper case hash":  {`"sha256":"` + hash[:2], `"sha256":"AB`},
		"short hash":       {`"sha256":"` + hash[:2], `"sha256":"`},
		"no hex":           {`"sha256":"` + hash[:2], `"sha256":"zz`},
		"upper case sig":   {`"signatures":[]`, `"signatures":[{"keyid":"ab","sig":"AB"}]`},
		"big number":       {`"counter":1,`, `"counter":9999999999999999999,`},
		"long number":      {`"version":1`, `"version":9999999999999999999`},
		"another hash":     {`"sha256":"`, `"sha512":"`},
		"two hashes":       {`"hashes":{`, `"hashes":{"md5":"00",`},
		"no hash":          {`{"sha256":"`, `{"sha256":"","x":"`},
		"member of target": {`"length":0`, `"length":0,"more":1`},
		"member of custom": {`"counter":1,`, `"counter":1,"extra":1,`},
		"order of custom":  {`{"counter":1,"hardware":["cam-rev-b"]`, `{"hardware":["cam-rev-b"],"counter":1`},
		"counter twice":    {`"counter":1,`, `"counter":1,"counter":1,`},
		"target twice":     {`"cam/1.1.0.json"`, `"cam/1.0.0.json"`},
		"case of targets":  {`"targets":{`, `"targets":{"CAM/1.0.0.json":{"custom":{"counter":7,"hardware":["x"],"product":"CAM","version":"1.0.0"},"hashes":{"sha256":"` + hash + `"},"length":1},`},
		"order of targets": {`"targets":{`, `"targets":{"zzz/1.0.0.json":{"custom":{"counter":7,"hardware":["x"],"product":"zzz","version":"1.0.0"},"hashes":{"sha256":"` + hash + `"},"length":1},`},
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

// BenchmarkRead reads a listing of 200 releases by this package and by go-tuf, side by side.
func BenchmarkRead(b *testing.B) {
	text := printed(b, newListing(b, 200))
	var short, long time.Duration
	for b.Loop() {
		start := time.Now()
		if m, _ := Read(text); m == nil {
			b.Fatal("it is no listing")
		}
		between := time.Now()
		if _, err := (&Meta{}).FromBytes(text); err != nil {
			b.Fatal(err)
		}
		short, long = short+between.Sub(start), long+time.Since(between)
	}
	b.ReportMetric(float64(long)/float64(short), "go-tuf÷read")
}
