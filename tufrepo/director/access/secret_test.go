package access_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	. "github.com/fairlead/fairlead/tufrepo/director/access"
)

var device = uuid.MustParse("9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001")

func newToken(t testing.TB) (Token, Hash) {
	t.Helper()
	token, hash, err := NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token, hash
}

func newDeviceKey(t testing.TB) (DeviceKey, Hash) {
	t.Helper()
	key, hash, err := NewDeviceKey(rand.Reader, device)
	if err != nil {
		t.Fatal(err)
	}
	return key, hash
}

// scanner takes the regular expressions for scanners out of the package's text.
func scanner(t *testing.T, prefix string) *regexp.Regexp {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if expr := strings.TrimSpace(strings.TrimPrefix(line, "//")); strings.HasPrefix(expr, prefix+"[") {
			return regexp.MustCompile("^" + expr + "$")
		}
	}
	t.Fatalf("the text has no expression for %s", prefix)
	return nil
}

func TestTokens(t *testing.T) {
	a, hash := newToken(t)
	b, other := newToken(t)
	key, keyHash := newDeviceKey(t)
	if !scanner(t, "flt_").MatchString(a.Reveal()) || !scanner(t, "fld_").MatchString(key.Reveal()) {
		t.Errorf("scanners would not find %s or %s", a.Reveal(), key.Reveal())
	}
	if a.ID() == b.ID() || hash == other || key.ID() != device.String() {
		t.Errorf("ids %s, %s, %s", a.ID(), b.ID(), key.ID())
	}
	parsed, err := ParseToken(a.Reveal())
	if err != nil || parsed != a || !hash.Matches(parsed.Hash()) {
		t.Errorf("%v, %v", parsed, err)
	}
	again, err := ParseDeviceKey(key.Reveal())
	if err != nil || again != key || !keyHash.Matches(again.Hash()) {
		t.Errorf("%v, %v", again, err)
	}
	if LoadHash(hash[:]) != hash || LoadHash(hash[1:]) != (Hash{}) || LoadHash(nil) != (Hash{}) {
		t.Error("a hash is not loaded as it was stored")
	}
	if hash.Matches(b.Hash()) || (Hash{}).Matches(a.Hash()) || (Hash{}).Matches(Hash{}) {
		t.Error("a hash matches what it is not of")
	}
}

const (
	vectorSum  = "wc2q1t0"
	vectorHash = "32000ece4f0c96154d2603aed21037f3edd4b6d21aedb116c1b3ca26c4df02ef"
	vectorKey  = "fld_9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzgzhk3ry0"
)

// TestVectors are for other languages; docs/formats.md has the first.
func TestVectors(t *testing.T) {
	token, hash, err := NewToken(bytes.NewReader(make([]byte, 38)))
	if err != nil || token.Reveal() != "flt_0000000000_0000000000000000000000000000000000000000000000000000"+vectorSum {
		t.Errorf("%s, %v", token.Reveal(), err)
	}
	if hash.String() != vectorHash {
		t.Errorf("hash %s", hash)
	}
	key, _, err := NewDeviceKey(bytes.NewReader(bytes.Repeat([]byte{0xff}, 32)), device)
	if err != nil || key.Reveal() != vectorKey {
		t.Errorf("%s, %v", key.Reveal(), err)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	token, _ := newToken(t)
	key, _ := newDeviceKey(t)
	code, err := NewCode(bytes.NewReader([]byte{0x49, 0x96, 0x02, 0xd2, 0x15}))
	if err != nil {
		t.Fatal(err)
	}
	const value = 0x499602d215
	for what, hidden := range map[any]string{token: token.Reveal()[15:30], key: key.Reveal()[42:60], code: fmt.Sprint(value)} {
		for _, verb := range []string{"%v", "%s", "%+v", "%#v", "%q", "%d", "%x"} {
			if text := fmt.Sprintf(verb, what) + fmt.Sprintf(verb, struct{ X any }{what}); strings.Contains(text, hidden) {
				t.Errorf("%s shows %s", verb, text)
			}
		}
	}
	if got := fmt.Sprint(token); got != "flt_"+token.ID()+"_…" {
		t.Errorf("it prints as %s", got)
	}
}

// TestSlipsAreFound: no token with one wrong character, or two swapped, is taken for
// another token.
func TestSlipsAreFound(t *testing.T) {
	token, _ := newToken(t)
	key, _ := newDeviceKey(t)
	for text, parse := range map[string]func(string) error{
		token.Reveal(): func(s string) error { _, err := ParseToken(s); return err },
		key.Reveal():   func(s string) error { _, err := ParseDeviceKey(s); return err },
	} {
		for i := range text {
			for _, c := range []byte("0123456789abcdefghijklmnopqrstuvwxyzABC_- \n\x00\xff") {
				if bad := text[:i] + string([]byte{c}) + text[i+1:]; bad != text && parse(bad) == nil {
					t.Fatalf("%q for %q", bad, text)
				}
			}
			if i > 0 && text[i] != text[i-1] {
				if bad := text[:i-1] + text[i:i+1] + text[i-1:i] + text[i+1:]; parse(bad) == nil {
					t.Fatalf("%q for %q", bad, text)
				}
			}
			if parse(text[:i]) == nil || parse(text[i:]) == nil && i > 0 || parse(text[:i]+text[i+1:]) == nil {
				t.Fatalf("cut off at %d", i)
			}
		}
		for _, bad := range []string{text + "0", text + "\n", " " + text, strings.ToUpper(text), strings.Repeat(text, 100)} {
			err := parse(bad)
			if err == nil {
				t.Errorf("%q was taken", bad)
			} else if strings.Contains(err.Error(), text[45:60]) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		}
	}
	if _, err := ParseToken(key.Reveal()); err == nil {
		t.Error("an access key was taken for a token")
	}
	if _, err := ParseDeviceKey(token.Reveal()); err == nil {
		t.Error("a token was taken for an access key")
	}
}

// TestOneTokenHasOneText: with a checksum that fits, too.
func TestOneTokenHasOneText(t *testing.T) {
	zeros, upper := strings.Repeat("0", 52), strings.ToUpper(device.String())
	for body, ok := range map[string]bool{
		"flt_0000000000_" + zeros: true, "flt_0000000001_" + zeros: false, "flt_000000000_" + zeros: false, "flt_00000000000_" + zeros: false,
		"flt_000000000u_" + zeros: false, "flt_0000000000_" + zeros[1:] + "1": false, "flt_0000000000_" + zeros[1:] + "u": false,
		"flt_00000000000000_" + zeros: false, "flt_" + device.String() + "_" + zeros: false, "flt_" + strings.Repeat("0", 70) + "_" + zeros: false,
		"fld_" + device.String() + "_" + zeros: true, "fld_" + upper + "_" + zeros: false, "fld_0000000000_" + zeros: false,
		"fld_" + strings.ReplaceAll(device.String(), "-", "") + "_" + zeros: false,
	} {
		text := body + checksum(body)
		_, err := ParseToken(text)
		if strings.HasPrefix(text, "fld") {
			_, err = ParseDeviceKey(text)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ParseToken("flt_" + strings.Repeat("0", 1<<20)); err == nil || !strings.Contains(err.Error(), "form") {
		t.Errorf("a megabyte was looked at: %v", err)
	}
}

// checksum is that of docs/formats.md, done another way.
func checksum(text string) string {
	const symbols = "0123456789abcdefghjkmnpqrstvwxyz"
	bits := uint64(crc32.ChecksumIEEE([]byte(text))) << 3
	var b [7]byte
	for i := range b {
		b[i] = symbols[bits>>(30-5*i)&31]
	}
	return string(b[:])
}

func TestNoRandomnessNoSecret(t *testing.T) {
	broken := errors.New("no entropy")
	for n := range 38 {
		source := func() *failing { return &failing{n, broken} }
		if token, hash, err := NewToken(source()); !errors.Is(err, broken) || token != (Token{}) || hash != (Hash{}) {
			t.Fatalf("after %d bytes: %v, %v, %v", n, token, hash, err)
		}
		if n < 32 {
			if key, hash, err := NewDeviceKey(source(), device); !errors.Is(err, broken) || key != (DeviceKey{}) || hash != (Hash{}) {
				t.Fatalf("after %d bytes: %v, %v, %v", n, key, hash, err)
			}
		}
		if n < 5 {
			if code, err := NewCode(source()); !errors.Is(err, broken) || code != (Code{}) {
				t.Fatalf("after %d bytes: %v, %v", n, code, err)
			}
		}
	}
}

// failing gives n bytes and then an error.
type failing struct {
	n   int
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	if f.n == 0 {
		return 0, f.err
	}
	n := min(f.n, len(b))
	f.n -= n
	return n, nil
}

func FuzzParseToken(f *testing.F) {
	token, _ := newToken(f)
	f.Add(token.Reveal())
	f.Add("flt_0000000000_")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := ParseToken(text); err == nil && (got.Reveal() != text || len(got.ID()) != 10 || text[4:14] != got.ID()) {
			t.Errorf("%q was read as %q", text, got.Reveal())
		}
	})
}

func FuzzParseDeviceKey(f *testing.F) {
	key, _ := newDeviceKey(f)
	f.Add(key.Reveal())
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := ParseDeviceKey(text); err == nil && (got.Reveal() != text || uuid.Validate(got.ID()) != nil) {
			t.Errorf("%q was read as %q", text, got.Reveal())
		}
	})
}
