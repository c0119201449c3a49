package director

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// Lifetime is how long a direction holds; it is issued anew at half of that.
const Lifetime = 7 * 24 * time.Hour

// Config says what a director works with. Every member must be set.
type Config struct {
	Store    *store.Store
	CA       *pki.Authority
	Releases Releases
	Keys     string // folder of the online keys
	Clock    func() time.Time
	Log      *slog.Logger
}

// Director is safe for use from many goroutines.
type Director struct {
	Config
	stats Stats

	tenants sync.Mutex // held while a tenant's keys or roots change

	signing sync.Mutex
	signers map[string]signer // by tenant

	notify atomic.Pointer[func(device string)]

	again   chan struct{} // wakes ReissueLoop
	devices sync.Map      // id -> *talk
}

// signer is a tenant's online key and the root that names it.
type signer struct {
	keyfile.Signer
	root string
}

// Stats count since the start.
type Stats struct {
	Directions, Enrolled, Events, Duplicates, Refused atomic.Int64
}

// New makes a director and its key folder.
func New(c Config) (*Director, error) {
	if err := durable.MkdirAll(c.Keys, 0o700); err != nil {
		return nil, fmt.Errorf("starting the director: %w", err)
	}
	return &Director{Config: c, signers: map[string]signer{}, again: make(chan struct{}, 1)}, nil
}

// Stats returns the counters.
func (d *Director) Stats() *Stats { return &d.stats }

// OnDirection sets the function that is told of every device with a new direction, after
// the direction is stored. It must not block.
func (d *Director) OnDirection(f func(device string)) {
	d.notify.Store(&f)
}

func (d *Director) told(device string) {
	if f := d.notify.Load(); f != nil {
		(*f)(device)
	}
}

// Error is what the caller, not the director, can mend. Code is one of the Code constants of
// package wire.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// notFound turns a missing row into a message for the caller.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(wire.CodeNotFound, format, args...)
	}
	return err
}

// Identity is a device that has proved who it is.
type Identity struct{ Tenant, Device string }

// Admit tells who holds a certificate that TLS has verified against the device authority.
// Errors of type *Error: CodeUnauthorized, CodeRevoked.
func (d *Director) Admit(ctx context.Context, c *x509.Certificate) (Identity, error) {
	tenant, device, err := pki.Identity(c)
	if err != nil {
		return Identity{}, refuse(wire.CodeUnauthorized, "%v", err)
	}
	id, key := Identity{tenant, device}, keyHash(c.RawSubjectPublicKeyInfo)
	return id, d.Store.View(ctx, func(tx *store.Tx) error {
		dev, err := tx.Device(device)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse(wire.CodeUnauthorized, "device %s is not known here: enrol it again", device)
		case err != nil:
			return err
		case dev.Tenant != tenant || string(dev.Key) != string(key):
			return refuse(wire.CodeUnauthorized, "the certificate is not the one of device %s", device)
		case !dev.Revoked.IsZero():
			return refuse(wire.CodeRevoked, "device %s was revoked on %s", device, dev.Revoked.Format(time.RFC3339))
		}
		return nil
	})
}

func keyHash(spki []byte) []byte {
	sum := sha256.Sum256(spki)
	return sum[:]
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// Revoke withdraws a device's identity.
func (d *Director) Revoke(ctx context.Context, device string) error {
	err := d.Store.Update(ctx, func(tx *store.Tx) error { return tx.Revoke(device, d.Clock()) })
	if err == nil {
		d.Log.Warn("device revoked", "device", device)
	}
	return notFound(err, "device %s does not exist or is revoked already", device)
}
