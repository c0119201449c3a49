package listing

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Print is what go-tuf's ToBytes prints of m, without indentation; nil if m has more to it than a listing, or characters that JSON
// may write in several ways.
func Print(m *Meta) []byte {
	if len(m.UnrecognizedFields) > 0 || m.Signatures == nil {
		return nil
	}
	out := appendSignatures(make([]byte, 0, room(m)), m.Signatures)
	if out == nil {
		return nil
	}
	if out = appendSigned(out, &m.Signed); out == nil {
		return nil
	}
	return append(out, '}')
}

// Join is what Print prints of a document with these signatures of what [Read] or [Signed] gave.
func Join(signatures []metadata.Signature, signed []byte) []byte {
	out := appendSignatures(make([]byte, 0, len(signed)+256*(len(signatures)+1)), signatures)
	if out == nil {
		return nil
	}
	return append(append(out, signed...), '}')
}

// Signed is what is signed of m, in canonical JSON; nil is as for Print.
func Signed(m *Meta) []byte { return appendSigned(make([]byte, 0, room(m)), &m.Signed) }

// room is about how many bytes m takes.
func room(m *Meta) int { return 256 * (len(m.Signed.Targets) + len(m.Signatures) + 4) }

// appendSignatures adds all that stands before the signed part.
func appendSignatures(out []byte, list []metadata.Signature) []byte {
	out = append(out, `{"signatures":[`...)
	for i, s := range list {
		if len(s.UnrecognizedFields) > 0 || !plain(s.KeyID) {
			return nil
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"keyid":"`+s.KeyID+`","sig":"`...)
		out = append(hex.AppendEncode(out, s.Signature), `"}`...)
	}
	return append(out, `],"signed":`...)
}

// appendSigned adds the signed part of a listing to out as it is printed, and as it is signed, which is the same: the names are
// sorted, all numbers are whole, and no character is escaped. nil is as for Print.
func appendSigned(out []byte, s *metadata.TargetsType) []byte {
	if s.Type != metadata.TARGETS || s.Delegations != nil || s.Targets == nil || !plain(s.SpecVersion) || !isWhole(s.Expires) {
		return nil
	}
	out = append(out, `{"_type":"targets","expires":"`...)
	out = append(s.Expires.AppendFormat(out, time.RFC3339), `","spec_version":"`...)
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
	if out = appendMembers(out, s.UnrecognizedFields); out == nil {
		return nil
	}
	return append(out, '}')
}

// isWhole tells whether an instant prints as a whole second of UTC with a year of four digits.
func isWhole(t time.Time) bool {
	return t.Location() == time.UTC && t.Nanosecond() == 0 && t.Year() >= 0 && t.Year() <= 9999
}

func appendTarget(out []byte, path string, t *metadata.TargetFiles) []byte {
	if !plain(path) || t == nil || t.Custom == nil || !isCustom(string(*t.Custom)) || len(t.Hashes) != 1 || len(t.Hashes["sha256"]) == 0 ||
		len(t.UnrecognizedFields) > 0 {
		return nil
	}
	out = append(append(append(out, '"'), path...), `":{"custom":`...)
	out = append(append(out, *t.Custom...), `,"hashes":{"sha256":"`...)
	out = append(hex.AppendEncode(out, t.Hashes["sha256"]), `"},"length":`...)
	return append(strconv.AppendInt(out, t.Length, 10), '}')
}

// appendMembers adds the members that go-tuf does not know. They stand behind all others.
func appendMembers(out []byte, members map[string]any) []byte {
	for _, name := range sortedKeys(members) {
		value := printPlain(members[name])
		if name <= "version" || !plain(name) || value == nil {
			return nil
		}
		out = append(append(out, `,"`+name+`":`...), value...)
	}
	return out
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

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
