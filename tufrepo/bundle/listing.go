package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A listing is a product's file: up to 200 releases, which each step from a release to its publication reads and prints several
// times. go-tuf takes a dozen turns through the text for one reading. readListing and printListing know the one form that this
// toolchain gives a listing. For whatever else they return nil, and it goes the long way: what is accepted, and how it is
// printed and signed, is the same with and without them, which FuzzListing holds them to.
type listing = metadata.Metadata[metadata.TargetsType]

// readListing is what [Parse] makes of b before it looks at the values, if b is a listing in exactly the form that
// printListing gives it. So nothing in it can be read in two ways.
func readListing(b []byte) *listing {
	if len(b) > MaxTargets {
		return nil
	}
	m := (&listingReader{rest: b}).document()
	if m == nil || !bytes.Equal(printListing(m), b) || !distinct(m) {
		return nil
	}
	return m
}

// distinct tells whether no two paths differ by case alone, and no key has signed twice.
func distinct(m *listing) bool {
	folded, signed := map[string]bool{}, map[string]bool{}
	for path := range m.Signed.Targets {
		folded[strings.ToLower(path)] = true
	}
	for _, s := range m.Signatures {
		signed[s.KeyID] = true
	}
	return len(folded) == len(m.Signed.Targets) && len(signed) == len(m.Signatures)
}

// listingReader takes a text apart at the places where a listing has its names. It need not be exact: what it makes of another
// text does not print back.
type listingReader struct {
	rest []byte
	bad  bool
}

// has passes over s if it comes next. It is always true of a text that is no listing, so that loops end.
func (r *listingReader) has(s string) bool {
	if len(r.rest) >= len(s) && string(r.rest[:len(s)]) == s {
		r.rest = r.rest[len(s):]
		return true
	}
	return r.bad
}

func (r *listingReader) want(s string) {
	if !r.has(s) {
		r.bad = true
	}
}

// until gives what stands before s, and passes over both.
func (r *listingReader) until(s string) []byte {
	before, rest, ok := bytes.Cut(r.rest, []byte(s))
	r.bad = r.bad || !ok
	r.rest = rest
	return before
}

func (r *listingReader) hexUntil(s string) []byte {
	out, err := hex.DecodeString(string(r.until(s)))
	r.bad = r.bad || err != nil
	return out
}

func (r *listingReader) numberUntil(s string) int64 {
	n, err := strconv.ParseInt(string(r.until(s)), 10, 64)
	r.bad = r.bad || err != nil
	return n
}

func (r *listingReader) document() *listing {
	m := &listing{Signatures: []metadata.Signature{}, UnrecognizedFields: map[string]any{}}
	r.want(`{"signatures":[`)
	for !r.has(`],"signed":{"_type":"targets","expires":"`) {
		if len(m.Signatures) > 0 {
			r.want(`,`)
		}
		r.want(`{"keyid":"`)
		id := string(r.until(`","sig":"`))
		m.Signatures = append(m.Signatures, metadata.Signature{KeyID: id, Signature: r.hexUntil(`"}`), UnrecognizedFields: map[string]any{}})
	}
	m.Signed = metadata.TargetsType{Type: metadata.TARGETS, Targets: map[string]*metadata.TargetFiles{}}
	if m.Signed.Expires.UnmarshalText(r.until(`","spec_version":"`)) != nil {
		return nil
	}
	m.Signed.SpecVersion = string(r.until(`","targets":{`))
	for !r.has(`},"version":`) {
		r.target(m.Signed.Targets)
	}
	r.end(&m.Signed)
	if r.bad {
		return nil
	}
	return m
}

func (r *listingReader) target(into map[string]*metadata.TargetFiles) {
	if len(into) > 0 {
		r.want(`,`)
	}
	r.want(`"`)
	path := string(r.until(`":{"custom":`))
	custom := json.RawMessage(bytes.Clone(r.until(`,"hashes":{"sha256":"`)))
	t := &metadata.TargetFiles{Path: path, Custom: &custom, UnrecognizedFields: map[string]any{}}
	t.Hashes = metadata.Hashes{"sha256": r.hexUntil(`"},"length":`)}
	t.Length = r.numberUntil(`}`)
	into[path] = t
}

// end reads the version, and the members behind it.
func (r *listingReader) end(s *metadata.TargetsType) {
	s.UnrecognizedFields = map[string]any{}
	i := bytes.IndexAny(r.rest, ",}")
	if i < 0 {
		r.bad = true
		return
	}
	var err error
	s.Version, err = strconv.ParseInt(string(r.rest[:i]), 10, 64)
	r.rest = r.rest[i:]
	r.bad = r.bad || err != nil
	if members, ok := bytes.CutSuffix(r.rest, []byte(`}`)); ok && len(members) > 1 {
		members = append([]byte(`{`), members[1:]...)
		r.bad = r.bad || strictjson.Decode(members, strictjson.Options{MaxBytes: len(members)}, &s.UnrecognizedFields) != nil
	}
}

// custom passes over a custom object in the form that [Target] prints.
func (r *listingReader) custom() {
	r.want(`{"counter":`)
	r.digits()
	r.want(`,"hardware":[`)
	for first := true; !r.has(`],"product":`); first = false {
		if !first {
			r.want(`,`)
		}
		r.text()
	}
	r.text()
	r.want(`,"version":`)
	r.text()
	r.want(`}`)
}

// digits passes over a number that prints as it stands.
func (r *listingReader) digits() {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	r.bad = r.bad || n == 0 || n > 18 || n > 1 && r.rest[0] == '0'
	r.rest = r.rest[n:]
}

// text passes over a text that prints as it stands.
func (r *listingReader) text() {
	r.want(`"`)
	n := 0
	for n < len(r.rest) && plainByte(r.rest[n]) {
		n++
	}
	r.rest = r.rest[n:]
	r.want(`"`)
}

// printListing is what [Encode] prints of m; nil if m has more to it than a listing, or characters that JSON may write in
// several ways.
func printListing(m *listing) []byte {
	if len(m.UnrecognizedFields) > 0 || m.Signatures == nil {
		return nil
	}
	out := append(make([]byte, 0, 256*(len(m.Signed.Targets)+len(m.Signatures)+4)), `{"signatures":[`...)
	for i, s := range m.Signatures {
		if len(s.UnrecognizedFields) > 0 || !plain(s.KeyID) {
			return nil
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"keyid":"`+s.KeyID+`","sig":"`...)
		out = append(hex.AppendEncode(out, s.Signature), `"}`...)
	}
	if out = appendSigned(append(out, `],"signed":`...), &m.Signed); out == nil {
		return nil
	}
	return append(out, '}')
}

// appendSigned adds the signed part of a listing to out as it is printed, and as it is signed, which is the same: the names are
// sorted, all numbers are whole, and no character is escaped. nil is as for printListing.
func appendSigned(out []byte, s *metadata.TargetsType) []byte {
	expires := s.Expires
	if s.Type != metadata.TARGETS || s.Delegations != nil || s.Targets == nil || !plain(s.SpecVersion) ||
		expires.Location() != time.UTC || expires.Nanosecond() != 0 || expires.Year() < 0 || expires.Year() > 9999 {
		return nil
	}
	out = append(out, `{"_type":"targets","expires":"`...)
	out = append(expires.AppendFormat(out, time.RFC3339), `","spec_version":"`...)
	out = append(append(out, s.SpecVersion...), `","targets":{`...)
	for i, path := range sortedKeys(s.Targets) {
		if i > 0 {
			out = append(out, ',')
		}
		if out = appendTarget(out, path, s.Targets[path]); out == nil {
			return nil
		}
	}
	out = strconv.AppendInt(append(out, `},"version":`...), s.Version, 10)
	for _, name := range sortedKeys(s.UnrecognizedFields) {
		value := printPlain(s.UnrecognizedFields[name])
		if name <= "version" || !plain(name) || value == nil {
			return nil
		}
		out = append(append(out, `,"`+name+`":`...), value...)
	}
	return append(out, '}')
}

func appendTarget(out []byte, path string, t *metadata.TargetFiles) []byte {
	if !plain(path) || t == nil || t.Custom == nil || !isCustom(*t.Custom) || len(t.Hashes) != 1 || len(t.Hashes["sha256"]) == 0 ||
		len(t.UnrecognizedFields) > 0 {
		return nil
	}
	out = append(append(append(out, '"'), path...), `":{"custom":`...)
	out = append(append(out, *t.Custom...), `,"hashes":{"sha256":"`...)
	out = append(hex.AppendEncode(out, t.Hashes["sha256"]), `"},"length":`...)
	return append(strconv.AppendInt(out, t.Length, 10), '}')
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// printPlain prints a text, or an object of texts; nil for other values.
func printPlain(v any) []byte {
	switch v := v.(type) {
	case string:
		if plain(v) {
			return []byte(`"` + v + `"`)
		}
	case map[string]any:
		if v == nil {
			return nil
		}
		out := []byte(`{`)
		for i, name := range sortedKeys(v) {
			text, ok := v[name].(string)
			if !ok || !plain(name) || !plain(text) {
				return nil
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, `"`+name+`":"`+text+`"`...)
		}
		return append(out, '}')
	}
	return nil
}

// plain tells whether a text stands in JSON as it is, however it is printed.
func plain(s string) bool {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}
