package client

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestPanicIsAnError: a recovered panic must not pass for success. The first
// is go-tuf's own, on bytes that nobody signed.
func TestPanicIsAnError(t *testing.T) {
	for name, f := range map[string]func() error{
		"go-tuf": func() error {
			_, err := metadata.Targets().FromBytes([]byte(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
			return err
		},
		"error value": func() error { panic(errors.New("boom")) },
		"nil":         func() error { var none []int; none[len(none)]++; return nil },
	} {
		err := guard("targets", ErrSignature, f)
		var typed *Error
		if !errors.As(err, &typed) || typed.Class != ErrFormat.Class || typed.Role != "targets" || !strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := guard("targets", ErrSignature, func() error { return nil }); err != nil {
		t.Errorf("no panic: %v", err)
	}
}

func TestEscapedRolesAreDistinctAndPlain(t *testing.T) {
	seen := map[string]string{}
	for _, role := range []string{"a", "A", "a.b", "a%2Eb", ".a", "%2Ea", "../a", "a/b", "a%2Fb", "a\\b", "a b", "a+b", "ä"} {
		e := filepath.Base((&store{}).path(role))
		if other, twice := seen[e]; twice {
			t.Errorf("%q and %q are both %q", role, other, e)
		}
		seen[e] = role
		if strings.HasPrefix(e, ".") || strings.ContainsAny(e, "/\\ \x00") {
			t.Errorf("%q becomes %q", role, e)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-4/20", "bytes 0-4/*", "bytes */20", "bytes 9223372036854775807-9223372036854775807/*", "bytes -1-4/20", "bytes 5-4/3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, err := parseContentRange([]string{s})
		if err == nil && (first < 0 || last < first || total <= last) {
			t.Fatalf("%q: %d-%d/%d", s, first, last, total)
		}
	})
}

func FuzzFloors(f *testing.F) {
	f.Add([]byte(`{"schema":1,"root":{"version":1},"timestamp":{"version":2,"digest":"00"},"snapshot":{"version":0},"time":"2026-09-01T00:00:00Z"}`))
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		floors, err := parseFloors(b)
		if err != nil {
			return
		}
		out, err := floors.encode()
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		again, err := parseFloors(out)
		if err != nil || !again.equal(floors) {
			t.Fatalf("%s is read as %+v, %v", out, again, err)
		}
	})
}
