// Package tokenuri reads the PKCS #11 URI of RFC 7512: which key, on which token, through which module.
//
//	pkcs11:token=ceremony;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/alice.pin
//
// Attributes of the path: token, serial, manufacturer, model, object, id, type. Of the query: module-path, pin-source.
// What is not known is refused: an attribute that is left out of account would lead to another key. A PIN never stands in
// a URI (pin-value), because command lines are seen by everybody on the machine, and are kept in histories.
package tokenuri

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Scheme begins every URI of a token's key.
const Scheme = "pkcs11"

// MaxLength is the most bytes of a URI.
const MaxLength = 4096

// URI names a key, or, where attributes are empty, all keys that fit.
type URI struct {
	Token, Serial, Manufacturer, Model string
	Object                             string // the key's label
	ID                                 []byte // CKA_ID; nil: any
	Module                             string // path of the module; "": the environment says
	PINFile                            string // path of a file that holds the PIN; "": none
}

// Parse reads a URI, with "pkcs11:" before it, "pkcs11://" as other tools of sigstore's write it, or nothing.
func Parse(text string) (URI, error) {
	if len(text) > MaxLength {
		return URI{}, fmt.Errorf("PKCS #11 URI of %d bytes: at most %d are read", len(text), MaxLength)
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(text, Scheme+":"), "//")
	path, query, _ := strings.Cut(rest, "?")
	var u URI
	if err := attributes(path, ";", u.path()); err != nil {
		return URI{}, fmt.Errorf("PKCS #11 URI %q: %w", text, err)
	}
	if err := attributes(query, "&", u.query()); err != nil {
		return URI{}, fmt.Errorf("PKCS #11 URI %q: %w", text, err)
	}
	return u, nil
}

type setters map[string]func(string) error

func (u *URI) path() setters {
	return setters{
		"token": set(&u.Token), "serial": set(&u.Serial), "manufacturer": set(&u.Manufacturer), "model": set(&u.Model),
		"object": set(&u.Object),
		"id": func(v string) error {
			u.ID = []byte(v)
			return nil
		},
		"type": func(v string) error {
			if v != "private" && v != "public" {
				return fmt.Errorf("type=%s: only keys sign; write type=private, or leave it out", v)
			}
			return nil
		},
		"module-path": misplaced, "pin-source": misplaced,
	}
}

func (u *URI) query() setters {
	return setters{
		"module-path": func(v string) error {
			u.Module = v
			return absolute("module-path", v)
		},
		"pin-source": func(v string) error {
			u.PINFile = strings.TrimPrefix(strings.TrimPrefix(v, "file:"), "//")
			return absolute("pin-source", u.PINFile)
		},
		"pin-value": func(string) error {
			return errors.New("a PIN never stands in a reference, which others can see: use pin-source=file:/PATH, FAIRLEAD_PIN, or wait to be asked")
		},
	}
}

func misplaced(string) error {
	return errors.New("module-path and pin-source stand after a '?': pkcs11:token=T;object=O?module-path=/PATH&pin-source=file:/PATH")
}

func absolute(name, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%s=%s: give a path that begins with '/'", name, path)
	}
	return nil
}

func set(to *string) func(string) error {
	return func(v string) error {
		if !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
			return errors.New("a name is not printable text")
		}
		*to = v
		return nil
	}
}

func attributes(text, separator string, known setters) error {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, separator) {
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return fmt.Errorf("%q is not NAME=VALUE", part)
		}
		if known[name] == nil {
			return fmt.Errorf("attribute %q is not known; a '%%', ';', '&' or '?' within a name is written %%25, %%3B, %%26, %%3F", name)
		}
		if seen[name] {
			return fmt.Errorf("attribute %q stands twice", name)
		}
		seen[name] = true
		value, err := url.PathUnescape(value)
		if err == nil {
			err = known[name](value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// String writes the URI with "pkcs11:" before it; Parse reads the same from it.
func (u URI) String() string {
	var path, query []string
	for _, a := range []struct{ name, value string }{
		{"token", u.Token}, {"serial", u.Serial}, {"manufacturer", u.Manufacturer}, {"model", u.Model}, {"object", u.Object},
		{"id", string(u.ID)},
	} {
		if a.value != "" {
			path = append(path, a.name+"="+escape(a.value))
		}
	}
	if u.Module != "" {
		query = append(query, "module-path="+escape(u.Module))
	}
	if u.PINFile != "" {
		query = append(query, "pin-source=file:"+escape(u.PINFile))
	}
	text := Scheme + ":" + strings.Join(path, ";")
	if len(query) > 0 {
		text += "?" + strings.Join(query, "&")
	}
	return text
}

// escape keeps what needs no quoting in a shell, and escapes all else.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._~/:@+", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
