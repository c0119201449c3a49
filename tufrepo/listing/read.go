package listing

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Read is what go-tuf makes of b, if b is a listing in exactly the form that Print gives it; else nil. signed is the part of b
// that is signed, in canonical JSON. Both refer to b, which must not be changed any more.
func Read(b []byte) (m *Meta, signed []byte) {
	if len(b) > MaxBytes {
		return nil, nil
	}
	r := &reader{s: string(b), b: b}
	m = &Meta{UnrecognizedFields: map[string]any{}}
	m.Signatures = r.signatures()
	start := r.at
	r.signed(&m.Signed)
	r.want(`}`)
	if !r.done() {
		return nil, nil
	}
	return m, b[start : len(b)-1 : len(b)-1]
}

// reader goes through a text that has to be as Print prints it. After the first byte that is not, it is bad.
type reader struct {
	s   string
	b   []byte // the same
	at  int
	bad bool

	free []target // room for the next ones
}

// target is what go-tuf has of one in three places.
type target struct {
	files  metadata.TargetFiles
	custom json.RawMessage
	sha256 [32]byte
}

func (r *reader) done() bool { return !r.bad && r.at == len(r.s) }

// has passes over text if it comes next. It is always true of what is bad, so that loops end.
func (r *reader) has(text string) bool {
	if strings.HasPrefix(r.s[r.at:], text) {
		r.at += len(text)
		return true
	}
	return r.bad
}

func (r *reader) want(text string) {
	if !r.has(text) {
		r.bad = true
	}
}

// text passes over a text that prints as it stands, quotes included.
func (r *reader) text() string {
	r.want(`"`)
	start := r.at
	for r.at < len(r.s) && plainByte(r.s[r.at]) {
		r.at++
	}
	text := r.s[start:r.at]
	r.want(`"`)
	return text
}

// number passes over one that prints as it stands, and is not negative.
func (r *reader) number() (n int64) {
	start := r.at
	for r.at < len(r.s) && r.s[r.at] >= '0' && r.s[r.at] <= '9' && r.at-start < 19 {
		n = 10*n + int64(r.s[r.at]-'0')
		r.at++
	}
	digits := r.at - start
	r.bad = r.bad || digits == 0 || digits > 18 || digits > 1 && r.s[start] == '0'
	return n
}

// signatures reads those, and what stands between them and the signed part.
func (r *reader) signatures() []metadata.Signature {
	list, seen := []metadata.Signature{}, map[string]bool{}
	r.want(`{"signatures":[`)
	for first := true; !r.has(`],"signed":`); first = false {
		if !first {
			r.want(`,`)
		}
		r.want(`{"keyid":`)
		id := r.text()
		r.want(`,"sig":`)
		text := r.text()
		r.want(`}`)
		sig, err := hex.DecodeString(text)
		r.bad = r.bad || err != nil || seen[id] || hex.EncodeToString(sig) != text
		seen[id] = true
		list = append(list, metadata.Signature{KeyID: id, Signature: sig, UnrecognizedFields: map[string]any{}})
	}
	return list
}

func (r *reader) signed(s *metadata.TargetsType) {
	s.Type = metadata.TARGETS
	r.want(`{"_type":"targets","expires":`)
	expires := r.text()
	r.want(`,"spec_version":`)
	s.SpecVersion = r.text()
	r.want(`,"targets":{`)
	if r.bad || s.Expires.UnmarshalText([]byte(expires)) != nil || s.Expires.Format(time.RFC3339) != expires {
		r.bad = true
		return
	}
	r.targets(s)
	s.Version = r.number()
	r.members(s)
}

// targets reads those, and what stands between them and the version. Sorted paths are distinct, but perhaps for their case.
func (r *reader) targets(s *metadata.TargetsType) {
	const least = 200 // bytes that one takes, about
	s.Targets = make(map[string]*metadata.TargetFiles, (len(r.s)-r.at)/least)
	last, cased := "", false
	for !r.has(`},"version":`) {
		if len(s.Targets) > 0 {
			r.want(`,`)
		}
		path := r.text()
		r.bad = r.bad || path <= last && len(s.Targets) > 0
		cased = cased || strings.ToLower(path) != path
		s.Targets[path] = r.target(path)
		last = path
	}
	if cased {
		r.bad = r.bad || !foldedDistinct(s.Targets)
	}
}

func foldedDistinct(targets map[string]*metadata.TargetFiles) bool {
	folded := make(map[string]bool, len(targets))
	for path := range targets {
		folded[strings.ToLower(path)] = true
	}
	return len(folded) == len(targets)
}

func (r *reader) target(path string) *metadata.TargetFiles {
	if len(r.free) == 0 {
		r.free = make([]target, 64)
	}
	t := &r.free[0]
	r.free = r.free[1:]
	r.want(`:{"custom":`)
	start := r.at
	r.custom(nil)
	t.custom = r.b[start:r.at:r.at]
	r.want(`,"hashes":{"sha256":`)
	r.sha256(&t.sha256)
	r.want(`},"length":`)
	length := r.number()
	r.want(`}`)
	t.files = metadata.TargetFiles{Path: path, Length: length, Custom: &t.custom, Hashes: metadata.Hashes{"sha256": t.sha256[:]}}
	return &t.files
}

// sha256 reads 64 lower-case hex digits in quotes.
func (r *reader) sha256(into *[32]byte) {
	text := r.text()
	if len(text) != 2*len(into) || strings.ContainsAny(text, "ABCDEF") {
		r.bad = true
		return
	}
	if _, err := hex.Decode(into[:], r.b[r.at-1-len(text):r.at-1]); err != nil {
		r.bad = true
	}
}

// members reads those that go-tuf does not know, behind the version, and the end of the signed part.
func (r *reader) members(s *metadata.TargetsType) {
	s.UnrecognizedFields = map[string]any{}
	end := len(r.s) - len(`}}`)
	if r.bad || r.at >= end {
		r.want(`}`)
		return
	}
	members := append([]byte(`{`), r.b[min(r.at+1, end):end+1]...)
	if err := strictjson.Decode(members, strictjson.Options{MaxBytes: len(members)}, &s.UnrecognizedFields); err != nil {
		r.bad = true
		return
	}
	printed := appendMembers(nil, s.UnrecognizedFields)
	r.bad = printed == nil
	r.want(string(printed))
	r.want(`}`)
}
