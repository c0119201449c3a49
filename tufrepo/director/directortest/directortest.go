// Package directortest holds director roots for tests: real metadata, with keys made
// on the spot.
package directortest

import (
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// Ceremony holds a tenant's offline root key.
type Ceremony struct {
	t     testing.TB
	Key   keyfile.Signer
	Clock func() time.Time
}

// New makes the offline key.
func New(t testing.TB, clock func() time.Time) *Ceremony {
	t.Helper()
	return &Ceremony{t: t, Key: NewKey(t), Clock: clock}
}

// NewKey makes a key that can sign metadata.
func NewKey(t testing.TB) keyfile.Signer {
	t.Helper()
	k, err := keyfile.Generate(keyfile.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keyfile.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Root makes root metadata of a version whose targets role is held by online.
func (c *Ceremony) Root(version int64, online ...*metadata.Key) []byte {
	c.t.Helper()
	root := metadata.Root(bundle.Expiry(c.Clock(), 365*24*time.Hour))
	root.Signed.Version = version
	add := func(k *metadata.Key, role string) {
		if err := root.Signed.AddKey(k, role); err != nil {
			c.t.Fatal(err)
		}
	}
	add(c.Key.TUFKey(), metadata.ROOT)
	for _, k := range online {
		add(k, metadata.TARGETS)
		add(k, metadata.SNAPSHOT)
		add(k, metadata.TIMESTAMP)
	}
	return c.Sign(root)
}

// Sign signs a root with the offline key.
func (c *Ceremony) Sign(root *metadata.Metadata[metadata.RootType]) []byte {
	c.t.Helper()
	if err := bundle.SignMetadata(root, c.Key); err != nil {
		c.t.Fatal(err)
	}
	raw, err := bundle.Encode(root)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}
