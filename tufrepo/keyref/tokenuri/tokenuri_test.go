package tokenuri

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]URI{
		"pkcs11:":                            {},
		"pkcs11:token=ceremony;object=alice": {Token: "ceremony", Object: "alice"},
		"pkcs11://token=a":                   {Token: "a"}, // as kms.Get's references are written
		"token=a":                            {Token: "a"}, // as a plugin is given them
		"pkcs11:token=My%20Token;id=%01%ff?module-path=/usr/lib/x.so": {Token: "My Token", ID: []byte{1, 255}, Module: "/usr/lib/x.so"},
		"pkcs11:serial=1f;type=private?pin-source=file:/run/pin":      {Serial: "1f", PINFile: "/run/pin"},
		"pkcs11:token=a?pin-source=file:///run/pin":                   {Token: "a", PINFile: "/run/pin"},
		"pkcs11:token=a+b?pin-source=/run/p%26q":                      {Token: "a+b", PINFile: "/run/p&q"},
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s is printed %s, which is read as %+v, %v", text, got, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"pkcs11:token=a;token=b":                    "stands twice",
		"pkcs11:token=a;slot-id=3":                  `"slot-id" is not known`,
		"pkcs11:token":                              "is not NAME=VALUE",
		"pkcs11:token=":                             "is not NAME=VALUE",
		"pkcs11:token=a?pin-value=1234":             "a PIN never stands in a reference",
		"pkcs11:token=a;module-path=/x.so":          "after a '?'",
		"pkcs11:token=a?module-path=x.so":           "begins with '/'",
		"pkcs11:token=a?pin-source=%7Ccat%20/pin":   "begins with '/'",
		"pkcs11:token=a;type=cert":                  "only keys sign",
		"pkcs11:token=%zz":                          "invalid URL escape",
		"pkcs11:token=%1b[2J":                       "not printable",
		"pkcs11:token=%ff":                          "not printable",
		"pkcs11:token=" + strings.Repeat("a", 5000): "at most 4096",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %+v, %v; want it to say %q", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"pkcs11:token=a;object=b?module-path=/x&pin-source=file:/y", "pkcs11:id=%00%01", "pkcs11://a=b", ";;?&&"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(u.String())
		if len(u.String()) <= MaxLength && (err != nil || !reflect.DeepEqual(again, u)) {
			t.Errorf("%q is %+v, printed %q, read again as %+v, %v", text, u, u.String(), again, err)
		}
	})
}
