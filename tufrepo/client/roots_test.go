package client

import (
	"errors"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TestRootsAreVerifiedOnce for each root before them, and again where they failed.
func TestRootsAreVerifiedOnce(t *testing.T) {
	first, second := &metadata.Metadata[metadata.RootType]{}, &metadata.Metadata[metadata.RootType]{}
	asked, bad := 0, errors.New("bad")
	var shared Roots
	for _, c := range []struct {
		what string
		by   *Roots
		raw  string
		last *metadata.Metadata[metadata.RootType]
		err  error
		want int // verifications so far
	}{
		{"the first client", &shared, "root", nil, nil, 1},
		{"the second", &shared, "root", nil, nil, 1},
		{"after another root", &shared, "root", first, nil, 2},
		{"after yet another", &shared, "root", second, nil, 3},
		{"after the former again", &shared, "root", first, nil, 3},
		{"another byte", &shared, "roots", nil, bad, 4},
		{"which is not kept", &shared, "roots", nil, nil, 5},
		{"and is good now", &shared, "roots", nil, nil, 5},
		{"a client of its own", nil, "root", nil, nil, 6},
		{"and again", nil, "root", nil, nil, 7},
	} {
		v, err := c.by.get([]byte(c.raw), c.last, func() (verified, error) {
			asked++
			return verified{digest: c.raw}, c.err
		})
		if err != c.err || err == nil && v.digest != c.raw || asked != c.want {
			t.Errorf("%s: %+v, %v after %d verifications, want %d", c.what, v, err, asked, c.want)
		}
	}
}
