package access_test

import (
	"bytes"
	"crypto/rand"
	"math"
	"strings"
	"testing"
	"time"

	. "github.com/fairlead/fairlead/tufrepo/director/access"
)

var pepper = bytes.Repeat([]byte{7}, 32)

func code(t testing.TB, b ...byte) Code {
	t.Helper()
	c, err := NewCode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCodes(t *testing.T) {
	for text, b := range map[string][]byte{
		"0000-0000-0": {0, 0, 0, 0, 0},
		"0000-0001-1": {0, 0, 0, 0, 1},
		"0000-0010-*": {0, 0, 0, 0, 32},
		"0000-0014-U": {0, 0, 0, 0, 36},
		"0000-0015-0": {0, 0, 0, 0, 37},
		"ZZZZ-ZZZZ-F": {255, 255, 255, 255, 255},
	} {
		c := code(t, b...)
		if c.Reveal() != text {
			t.Errorf("%v is %s, want %s", b, c.Reveal(), text)
		}
		if got, err := ParseCode(text); err != nil || got != c {
			t.Errorf("%s: %v", text, err)
		}
	}
	for range 1000 {
		c, err := NewCode(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseCode(c.Reveal()); err != nil || got != c {
			t.Fatalf("%s: %v", c.Reveal(), err)
		}
	}
}

func TestPeopleTypeCodesAsTheyLike(t *testing.T) {
	want := code(t, 0x08, 0x42, 0x10, 0x84, 0x20) // 1111 1110
	whole := want.Reveal()
	for _, typed := range []string{whole, strings.ReplaceAll(whole, "-", ""), strings.ToLower(whole), " " + strings.ReplaceAll(whole, "-", " ") + " ",
		strings.ReplaceAll(whole, "1", "l"), strings.ReplaceAll(whole, "1", "I"), strings.ReplaceAll(whole, "0", "o"), "1-1-1-1-1-1-1-0-" + whole[10:]} {
		if got, err := ParseCode(typed); err != nil || got != want {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestSlipsInCodesAreFound(t *testing.T) {
	for range 20 {
		c, err := NewCode(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(c.Reveal(), "-", "")
		for i := range text {
			for _, s := range []byte("0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U") {
				if bad := text[:i] + string(s) + text[i+1:]; bad != text {
					if got, err := ParseCode(bad); err == nil {
						t.Fatalf("%s for %s: %v", bad, text, got.Reveal())
					}
				}
			}
			if i > 0 && text[i] != text[i-1] {
				if bad := text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:]; bad != text {
					if _, err := ParseCode(bad); err == nil {
						t.Fatalf("%s for %s", bad, text)
					}
				}
			}
		}
	}
	for _, bad := range []string{"", "-", "0000-0000", "0000-0000-00", "000-0000-0", "0000-000U-0", "0000-0000-!", "0000_0000_0", "０000-0000-0", "0000-0000-0\n", strings.Repeat("-", 200)} {
		if got, err := ParseCode(bad); err == nil {
			t.Errorf("%q is %s", bad, got.Reveal())
		}
	}
}

func TestCodeHash(t *testing.T) {
	a, b := code(t, 1, 2, 3, 4, 5), code(t, 1, 2, 3, 4, 6)
	hash := func(c Code, key []byte) Hash {
		h, err := c.Hash(key)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if first, again := hash(a, pepper), hash(a, pepper); first != again || first == hash(b, pepper) || first == hash(a, bytes.Repeat([]byte{8}, 32)) {
		t.Error("a hash does not depend on code and key alone")
	}
	if h, err := a.Hash(pepper[:31]); err == nil {
		t.Errorf("a short key made %s", h)
	}
}

// TestArithmetic is that of the package's text.
func TestArithmetic(t *testing.T) {
	day := CodeTries * (24 * time.Hour).Minutes() * MaxCodes / math.Pow(2, 40)
	if day > 2.7e-5 || CodeLife > 24*time.Hour || CodeTriesSource > CodeTries {
		t.Errorf("a code is hit with probability %.2g a day", day)
	}
	if year := -math.Expm1(365 * math.Log1p(-day)); year > 0.01 {
		t.Errorf("a code is hit with probability %.2g a year", year)
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("7K3M-9QXA-T")
	f.Add("oil0-0000-u")
	f.Fuzz(func(t *testing.T, typed string) {
		c, err := ParseCode(typed)
		if err != nil {
			return
		}
		if again, err := ParseCode(c.Reveal()); err != nil || again != c {
			t.Errorf("%q is %s, which is not read back: %v", typed, c.Reveal(), err)
		}
	})
}
