package director_test

import (
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/directortest"
)

func TestRootsAreVerified(t *testing.T) {
	s := newSite(t)
	c := directortest.New(t, s.clock)
	stranger := directortest.New(t, s.clock)
	online := s.onlineKey("acme", false)
	other := directortest.NewKey(t).TUFKey()
	change := func(version int64, f func(*metadata.RootType)) []byte {
		root, err := bundle.Parse[metadata.RootType](c.Root(version, online))
		must(t, err)
		f(&root.Signed)
		return c.Sign(root)
	}
	unsigned := strings.Replace(string(c.Root(1, online)), `"version":1`, `"version":2`, 1)

	for _, bad := range []struct {
		what  string
		roots [][]byte
		says  string
	}{
		{"none", nil, "no root was given"},
		{"garbage", [][]byte{[]byte("{}")}, ""},
		{"changed after signing", [][]byte{[]byte(unsigned)}, "root 2"},
		{"a key that is not ours", [][]byte{c.Root(1, other)}, "--targets-key"},
		{"two signatures wanted", [][]byte{change(1, func(r *metadata.RootType) {
			must(t, r.AddKey(other, metadata.TARGETS))
			r.Roles[metadata.TARGETS].Threshold = 2
		})}, "--targets-threshold 1"},
		{"one key listed twice", [][]byte{change(1, func(r *metadata.RootType) {
			role := r.Roles[metadata.ROOT]
			role.KeyIDs, role.Threshold = append(role.KeyIDs, role.KeyIDs[0]), 2
		})}, "root 1"},
		{"expired", [][]byte{change(1, func(r *metadata.RootType) { r.Expires = s.clock().Add(-time.Hour) })}, "expired"},
		{"a gap", [][]byte{c.Root(1, online), c.Root(3, online)}, "does not follow"},
		{"another ceremony's second root", [][]byte{c.Root(1, online), stranger.Root(2, online)}, "root 2"},
	} {
		_, err := s.AddTenant(ctx, "acme", bad.roots)
		if code(err) == "" || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want %q", bad.what, err, bad.says)
		}
	}
	if _, _, err := s.NewClaim(ctx, "acme", 1, time.Hour); code(err) != wire.CodeNotFound {
		t.Errorf("a refused root has left a tenant: %v", err)
	}
	for _, name := range []string{"", "a/b", "a.b", strings.Repeat("x", 65)} {
		if _, err := s.AddTenant(ctx, name, [][]byte{c.Root(1, online)}); code(err) != wire.CodeBadRequest {
			t.Errorf("tenant %q: %v", name, err)
		}
	}

	first := c.Root(1, online)
	for range 2 { // again is not an error
		if _, err := s.AddTenant(ctx, "acme", [][]byte{first}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.AddTenant(ctx, "acme", [][]byte{change(1, func(r *metadata.RootType) { r.Expires = r.Expires.Add(time.Hour) })}); code(err) != wire.CodeConflict {
		t.Errorf("another root 1: %v, want conflict", err)
	}
}

// TestKeyRotation gives the tenant a new online key by a new root: every direction is
// signed again, and the old key signs no more.
func TestKeyRotation(t *testing.T) {
	s := newSite(t)
	id := s.enrolled(s.tenant("acme", 1), "s1")
	s.order(director.Order{Tenant: "acme", Product: "base", Version: "1.1.0", All: true})
	before := s.direction(id)

	k1, k2 := s.onlineKey("acme", false), s.onlineKey("acme", true)
	if k1.Value.PublicKey == k2.Value.PublicKey {
		t.Fatal("rotate has made no new key")
	}
	if again := s.onlineKey("acme", true); again.Value.PublicKey != k2.Value.PublicKey {
		t.Fatal("a key that no root names yet is made twice")
	}
	if s.direction(id).Version != before.Version {
		t.Fatal("a key that the root does not name was used")
	}
	_, err := s.AddTenant(ctx, "acme", [][]byte{s.ceremony["acme"].Root(2, k2)})
	must(t, err)
	n, err := s.Reissue(ctx)
	must(t, err)
	after := s.direction(id) // verifies with root 2
	if n != 1 || after.Version != before.Version+1 || after.Update != before.Update {
		t.Errorf("%d directions issued anew; %+v after %+v", n, after, before)
	}
}
