package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestCheck(t *testing.T) {
	null, float := Options{AllowNull: true}, Options{AllowFloat: true}
	tests := []struct {
		name, in string
		o        Options
		want     string // part of the error; empty: accepted
	}{
		{"object", `{"a":1,"b":[true,false,"x",{}],"c":{"a":-1}}`, Options{}, ""},
		{"white space", " \t\r\n{ \"a\" : 1 }\n", Options{}, ""},
		{"scalar", `7`, Options{}, ""},
		{"empty", ``, Options{}, "unexpected end"},
		{"spaces", `  `, Options{}, "unexpected end"},
		{"two values", `{} {}`, Options{}, "after top-level value"},
		{"trailing garbage", `{}x`, Options{}, "after top-level value"},
		{"NUL at the end", "{}\x00", Options{}, "after top-level value"},
		{"BOM", "\ufeff{}", Options{}, "invalid character"},
		{"cut off", `{"a":`, Options{}, "unexpected end"},
		{"comma at the end", `{"a":1,}`, Options{}, "invalid character"},
		{"no comma", `[1 2]`, Options{}, "invalid character"},
		{"comment", `{} // x`, Options{}, "invalid character"},
		{"single quotes", `{'a':1}`, Options{}, "invalid character"},
		{"newline in a string", "\"a\nb\"", Options{}, "invalid character"},
		{"name that is no string", `{1:1}`, Options{}, "invalid character"},

		{"same name", `{"a":1,"a":1}`, Options{}, `member "a" stands beside "a"`},
		{"same name, deep", `[{"x":{"a":1,"b":2,"a":3}}]`, Options{}, `member "a"`},
		{"same name, escaped", `{"a":1,"\u0061":2}`, Options{}, `member "a"`},
		{"names differ by case", `{"key":1,"KEY":2}`, Options{}, `member "KEY" stands beside "key"`},
		{"Kelvin sign", `{"key":1,"\u212Aey":2}`, Options{}, `stands beside "key"`},
		{"long s", "{\"sig\":1,\"\u017fig\":2}", Options{}, `stands beside "sig"`},
		{"same name, other objects", `{"a":{"a":[{"a":1},{"a":1}]}}`, Options{}, ""},
		{"same name after an object", `{"a":{"b":1},"b":{"a":1}}`, Options{}, ""},
		{"empty name twice", `{"":1,"":2}`, Options{}, `member ""`},

		{"escaped quotes", `{"a":"\",\"a\":null,\"","b\"":["\\",{"\\\"":"\""}]}`, Options{}, ""},
		{"same name behind a backslash", `{"a":"\\","a":1}`, Options{}, `member "a"`},
		{"same name with a quote", `{"a\"":1,"a\"":2}`, Options{}, `member "a\""`},
		{"null behind a quote", `["\"",null]`, Options{}, "null"},

		{"depth 32", nested(32), Options{}, ""},
		{"depth 33", nested(33), Options{}, "nested deeper than 32"},
		{"depth of objects", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), Options{}, "nested deeper than 32"},
		{"depth 20000", nested(20000), Options{}, "depth"},

		{"not UTF-8", "\"\xff\"", Options{}, "UTF-8"},
		{"overlong", "\"\xc0\x80\"", Options{}, "UTF-8"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", Options{}, "UTF-8"},
		{"pair", `"\ud83d\uDE00 \\ud83d \" \u00e4 \b"`, Options{}, ""},
		{"high half", `"\ud83d"`, Options{}, "surrogate"},
		{"high half and a letter", `"\ud83dA"`, Options{}, "surrogate"},
		{"high half and an escape", `"\ud83d\n\udE00"`, Options{}, "surrogate"},
		{"low half", `"\ude00"`, Options{}, "surrogate"},
		{"low half first", `"\ude00\ud83d"`, Options{}, "surrogate"},
		{"two low halves", `"\ude00\ude00"`, Options{}, "surrogate"},
		{"high half twice", `"\ud83d\ud83d"`, Options{}, "surrogate"},
		{"high half and an escaped letter", `"\ud83d\u0041"`, Options{}, "surrogate"},
		{"high half and the last unit", `"\ud83d\uffff"`, Options{}, "surrogate"},
		{"two high halves", `"\ud83d\ud83d\ude00"`, Options{}, "surrogate"},
		{"half in a name", `{"\udfff":1}`, Options{}, "surrogate"},
		{"backslash before u", `"\\\ude00"`, Options{}, "surrogate"},

		{"null", `{"a":null}`, Options{}, "null"},
		{"null alone", `null`, Options{}, "null"},
		{"null in a list", `[1,null]`, Options{}, "null"},
		{"null allowed", `{"a":null}`, null, ""},

		{"largest", `9223372036854775807`, Options{}, ""},
		{"least", `-9223372036854775808`, Options{}, ""},
		{"too large", `9223372036854775808`, Options{}, "not an integer of 64 bits"},
		{"too small", `-9223372036854775809`, Options{}, "not an integer of 64 bits"},
		{"unsigned", `18446744073709551615`, Options{}, "not an integer of 64 bits"},
		{"fraction", `1.0`, Options{}, "not an integer of 64 bits"},
		{"exponent", `1e2`, Options{}, "not an integer of 64 bits"},
		{"leading zero", `01`, Options{}, "invalid character"},
		{"plus", `+1`, Options{}, "invalid character"},
		{"NaN", `NaN`, Options{}, "invalid character"},
		{"fraction allowed", `[1.5,-2e-3,7]`, float, ""},
		{"infinite", `1e999`, float, "out of range"},
		{"digits without end", `[` + strings.Repeat("9", 5000) + `]`, Options{}, "not an integer of 64 bits"},

		{"at the limit", `"12345678"`, Options{MaxBytes: 10}, ""},
		{"above the limit", `"123456789"`, Options{MaxBytes: 10}, "11 bytes, at most 10"},
		{"at the limit of nothing said", `"` + strings.Repeat("x", DefaultMaxBytes-2) + `"`, Options{}, ""},
		{"above it", `"` + strings.Repeat("x", DefaultMaxBytes-1) + `"`, Options{}, "at most 1048576"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Check([]byte(tt.in), tt.o)
			if tt.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// Whatever number of members stands before, between and behind two of one name, they are found.
func TestSameNameAmongMany(t *testing.T) {
	other := func(n, from int) (s string) {
		for i := range n {
			s += fmt.Sprintf(`"n%d":%d,`, from+i, i)
		}
		return s
	}
	for before := range 12 {
		for between := range 12 {
			in := other(before, 0) + `"key":1,` + other(between, 100) + "%s" + other(3, 200)
			for _, second := range []string{`"key":2,`, `"KEY":2,`, "\"\u212aey\":2,", `"k\u0065y":2,`} {
				err := Check([]byte("{"+fmt.Sprintf(in, second)+`"z":0}`), Options{})
				if err == nil || !strings.Contains(err.Error(), `stands beside "key"`) {
					t.Fatalf("%d before, %d between, %s: %v", before, between, second, err)
				}
			}
			if err := Check([]byte("{"+fmt.Sprintf(in, "")+`"z":0}`), Options{}); err != nil {
				t.Fatalf("%d before, %d between: %v", before, between, err)
			}
		}
	}
}

func TestErrorsAreShort(t *testing.T) {
	name := `"` + strings.Repeat("n", 5000) + `":1`
	for _, in := range []string{"[" + strings.Repeat("9", 5000) + "]", "{" + name + "," + name + "}"} {
		if err := Check([]byte(in), Options{}); err == nil || len(err.Error()) > 300 {
			t.Errorf("got %v", err)
		}
	}
}

func TestDecode(t *testing.T) {
	type value struct {
		A int `json:"a"`
	}
	var v value
	if err := Decode([]byte(`{"a":1,"later":2}`), Options{}, &v); err != nil || v.A != 1 {
		t.Errorf("unknown member: %+v, %v", v, err)
	}
	if err := Decode([]byte(`{"a":1,"later":2}`), Options{Known: true}, &v); err == nil || !strings.Contains(err.Error(), `"later"`) {
		t.Errorf("unknown member with Known: %v", err)
	}
	v = value{}
	if err := Decode([]byte(`{"a":2,"a":3}`), Options{}, &v); err == nil || v.A != 0 {
		t.Errorf("what Check refuses is decoded: %+v, %v", v, err)
	}
	if err := Decode([]byte(`{"a":"x"}`), Options{}, &v); err == nil {
		t.Error("wrong type is accepted")
	}
}

// What Check accepts, encoding/json reads, and no member is lost on the way.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[true,null,1.5,"x"]}`, `{"a":1,"A":2}`, `"\ud83d\ude00"`, `"\ud83d"`, nested(33), `{"a":{"a":{}}}`, `[1,]`, "\xff", `-0`, `1e999`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b, Options{AllowNull: true, AllowFloat: true}) != nil {
			if Check(b, Options{}) == nil {
				t.Fatal("accepted by fewer allowances")
			}
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("accepted, but encoding/json says: %v", err)
		}
		if colons := bytes.Count(withoutStrings(b), []byte(":")); members(v) != colons {
			t.Fatalf("%d members in the text, %d in the value", colons, members(v))
		}
	})
}

// withoutStrings drops the strings of a valid JSON text.
func withoutStrings(b []byte) []byte {
	var out []byte
	inside := false
	for i := 0; i < len(b); i++ {
		switch {
		case inside && b[i] == '\\':
			i++
		case b[i] == '"':
			inside = !inside
		case !inside:
			out = append(out, b[i])
		}
	}
	return out
}

func members(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += members(e)
		}
	case []any:
		for _, e := range v {
			n += members(e)
		}
	}
	return n
}
