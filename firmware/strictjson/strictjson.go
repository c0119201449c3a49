// Package strictjson stands between foreign JSON and every decoder.
//
// Go's encoding/json is generous: the last of two equal names wins, names
// match without regard to case, null leaves a field as it was, broken UTF-8 is
// replaced, a number that does not fit is found out late or not at all. Two
// readers of the same signed bytes may so see two different things. Check
// refuses what could be read in two ways, before a decoder, go-tuf's included,
// sees a byte of it:
//
//   - more bytes than the caller expects, or more than MaxDepth levels;
//   - anything but exactly one value, also bytes after it, also a BOM;
//   - two members of one object with the same name, or with names that differ
//     only by case (so a map must not be keyed by such names either);
//   - bytes or escapes that are not valid Unicode, lone surrogates included;
//   - null, unless allowed;
//   - numbers that are not integers of 64 bits with sign, unless allowed: a
//     float must be finite even then.
//
// What it does not promise: that the value has the shape the caller wants, or
// that the bytes are a canonical form. Members unknown to a reader are let
// through by default, because the schemas between agents and servers of
// different age are additive.
package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxDepth is the number of objects and arrays that may be nested.
	MaxDepth = 32
	// DefaultMaxBytes is the limit that holds where Options names none.
	DefaultMaxBytes = 1 << 20
)

// Options says what a caller lets through. The zero value is the strictest
// but for unknown members.
type Options struct {
	MaxBytes   int  // longest input in bytes; 0 means DefaultMaxBytes
	AllowNull  bool // let null stand as a value
	AllowFloat bool // let numbers have a fraction or an exponent
	Known      bool // Decode only: refuse members that the Go type does not name
}

// Decode checks b and then decodes it into v, which is as for json.Unmarshal.
func Decode(b []byte, o Options, v any) error {
	if err := Check(b, o); err != nil {
		return err
	}
	if err := decode(b, o.Known, v); err != nil {
		return fmt.Errorf("decode JSON: %w", err)
	}
	return nil
}

func decode(b []byte, known bool, v any) error {
	if !known {
		return json.Unmarshal(b, v)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Check reports why b should not be shown to a decoder, or nil.
func Check(b []byte, o Options) error {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if len(b) > o.MaxBytes {
		return fmt.Errorf("check JSON: %d bytes, at most %d are allowed", len(b), o.MaxBytes)
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("check JSON: not valid UTF-8")
	}
	if !json.Valid(b) {
		return fmt.Errorf("check JSON: %w", syntaxError(b))
	}
	if err := checkEscapes(b); err != nil {
		return fmt.Errorf("check JSON: %w", err)
	}
	w := walker{Options: o, b: b}
	if err := w.value(0); err != nil {
		return fmt.Errorf("check JSON: at byte %d: %w", w.at, err)
	}
	return nil
}

// syntaxError finds out what json.Valid did not like.
func syntaxError(b []byte) error {
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// walker visits every value of a text that is known to be valid JSON: so it looks at what begins a value, and at no punctuation
// between values. Big files are read over and over, and json.Decoder.Token takes several times as long.
type walker struct {
	Options
	b  []byte
	at int
}

// begin passes over what stands between values, and gives the first byte of the next one, or the bracket that ends a container.
func (w *walker) begin() byte {
	for {
		switch c := w.b[w.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			w.at++
		default:
			return c
		}
	}
}

func (w *walker) value(depth int) error {
	switch w.begin() {
	case '{', '[':
		return w.container(depth + 1)
	case '"':
		w.text()
		return nil
	}
	switch s := w.scalar(); string(s) {
	case "true", "false":
		return nil
	case "null":
		if !w.AllowNull {
			return fmt.Errorf("null where a value is wanted")
		}
		return nil
	default:
		return w.number(s)
	}
}

func (w *walker) container(depth int) error {
	object := w.b[w.at] == '{'
	var seen names
	w.at++
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d levels", MaxDepth)
	}
	for {
		if c := w.begin(); c == '}' || c == ']' {
			w.at++
			return nil
		}
		if object {
			if err := w.name(&seen); err != nil {
				return err
			}
		}
		if err := w.value(depth); err != nil {
			return err
		}
	}
}

// text passes over a string and gives what stands between its quotes, as it is written.
func (w *walker) text() []byte {
	start := w.at + 1
	for w.at = start; w.b[w.at] != '"'; w.at++ {
		if w.b[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return w.b[start : w.at-1]
}

// scalar passes over a number or a literal.
func (w *walker) scalar() []byte {
	start := w.at
	for w.at < len(w.b) {
		switch w.b[w.at] {
		case ' ', '\t', '\r', '\n', ',', ']', '}':
			return w.b[start:w.at]
		}
		w.at++
	}
	return w.b[start:]
}

func (w *walker) name(seen *names) error {
	name := w.text()
	if bytes.IndexByte(name, '\\') >= 0 {
		var plain string
		if err := json.Unmarshal(w.b[w.at-len(name)-2:w.at], &plain); err != nil {
			return err
		}
		name = []byte(plain)
	}
	if other, twice := seen.add(name); twice {
		return fmt.Errorf("member %.80q stands beside %.80q: one name, two values", name, other)
	}
	return nil
}

// names are those of the members of one object. Most objects have few, for which a map would be most of the work.
type names struct {
	few  [8][]byte
	n    int
	many map[string][]byte // folded name to name; nil while few has room
}

// add notes a name, unless it is there already.
func (s *names) add(name []byte) (other []byte, twice bool) {
	if s.many == nil && s.n < len(s.few) {
		for _, other := range s.few[:s.n] {
			if bytes.EqualFold(name, other) {
				return other, true
			}
		}
		s.few[s.n] = name
		s.n++
		return nil, false
	}
	if s.many == nil {
		s.many = make(map[string][]byte, 4*len(s.few))
		for _, other := range s.few {
			s.many[fold(string(other))] = other
		}
	}
	folded := fold(string(name))
	if other, twice = s.many[folded]; !twice {
		s.many[folded] = name
	}
	return other, twice
}

func (w *walker) number(b []byte) error {
	if _, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return nil
	}
	s := string(b)
	if !w.AllowFloat {
		return fmt.Errorf("number %.40s is not an integer of 64 bits with sign", s)
	}
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return fmt.Errorf("number %.40s is out of range", s)
	}
	return nil
}

// fold maps names that encoding/json takes for the same field to one string.
func fold(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return strings.ToUpper(s)
	}
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, s)
}

// checkEscapes refuses \u escapes that name half of a surrogate pair, which
// decoders replace silently. In valid JSON a backslash stands only in strings.
func checkEscapes(b []byte) error {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		unit, isUnit := escapedUnit(b[i:])
		if !isUnit {
			i++
			continue
		}
		if !unicode.Is(unicode.Cs, unit) {
			i += 5
			continue
		}
		low, ok := escapedUnit(b[i+6:])
		if unit >= 0xDC00 || !ok || low < 0xDC00 || low > 0xDFFF {
			return fmt.Errorf("at byte %d: escape of half a surrogate pair", i)
		}
		i += 11
	}
	return nil
}

// escapedUnit reads the \uXXXX that b starts with.
func escapedUnit(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}
