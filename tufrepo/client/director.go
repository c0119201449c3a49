package client

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// DirectorConfig is what a Director needs. Root, Tenant, Device and Source are
// required; the rest is as in Config.
type DirectorConfig struct {
	Dir       string       // not that of a Client
	Disk      durable.Disk // where Dir is
	Root      []byte       // the tenant's director root
	Tenant    string
	Device    string
	Source    Source // of director/<tenant>/<N>.root.json
	Clock     func() time.Time
	BuildTime time.Time
	Log       *slog.Logger
	Limits    Limits
	Roots     *Roots
}

// Director follows a tenant's director root and accepts directions to one
// device. Its methods may be called from several goroutines; they take turns.
type Director struct {
	mu             turn
	trust          trust
	tenant, device string
	current        *direction.Direction
}

const directionRole = "direction"

// OpenDirector prepares a director's client; errors as for Open.
func OpenDirector(c DirectorConfig) (*Director, error) {
	if c.Tenant == "" || c.Device == "" {
		return nil, failf(ErrConfig, "", "a tenant and a device are needed")
	}
	base := Config{Dir: c.Dir, Disk: c.Disk, Root: c.Root, Source: c.Source, Clock: c.Clock, BuildTime: c.BuildTime, Log: c.Log, Limits: c.Limits, Roots: c.Roots}
	t, err := openTrust(base, "director/"+url.PathEscape(c.Tenant)+"/", floors.rotatedDirector)
	if err != nil {
		return nil, err
	}
	d := &Director{trust: *t, tenant: c.Tenant, device: c.Device}
	d.restore()
	return d, nil
}

// rotatedDirector forgets the newest direction where a key that could have
// signed it is withdrawn: it may have been a thief's.
func (f floors) rotatedDirector(last, next *metadata.RootType) floors {
	if withdrawn(last, next, metadata.TARGETS) {
		f.Direction, f.Raw = floor{}, nil
	}
	return f
}

// restore reads the accepted direction back. Its expiry does not matter: it was
// fresh when it was accepted, and says what the device was last told.
func (d *Director) restore() {
	raw := d.trust.floors.Raw
	if raw == nil {
		return
	}
	got, err := direction.Verify(raw, d.trust.root, time.Time{})
	if err == nil {
		err = d.addressed(got)
	}
	if err != nil {
		d.trust.log.Warn("the stored direction is not good: waiting for another", "error", err)
		return
	}
	d.current = &got
}

// Close gives the store back.
func (d *Director) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.trust.store.close(); err != nil {
		return storeError("", err)
	}
	return nil
}

// Refresh follows the director's root: one request where nothing is new. Accept
// does so by itself only if it does not know the signing key, so a caller that
// polls calls Refresh, or a withdrawn key keeps its power until the root expires.
func (d *Director) Refresh(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.walk(ctx)
}

func (d *Director) walk(ctx context.Context) error {
	err := d.trust.walk(ctx)
	if d.trust.floors.Raw == nil {
		d.current = nil
	}
	return err
}

// Accept verifies a direction: signed by the newest director root (which is
// followed if the key is not known), made for this device, not older than one
// accepted before, not expired by trusted time. It is durable before Accept
// returns. The newest one may be given again and again.
//
// ErrRollback: older; ErrConflict: another one of the same version;
// ErrSignature: not by this director, or not for this device; ErrExpired,
// ErrFormat, ErrStore, ErrNoSpace as elsewhere.
func (d *Director) Accept(ctx context.Context, raw []byte) (direction.Direction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	got, err := d.verify(ctx, raw)
	late := errors.Is(err, direction.ErrExpired)
	if err != nil && !late {
		return direction.Direction{}, err
	}
	t := &d.trust
	if err := d.addressed(got); err != nil {
		return direction.Direction{}, err
	}
	at := floor{got.Version, firmware.Sum(raw).String()}
	if err := t.floors.Direction.check(directionRole, at, t.limits.VersionJump); err != nil {
		return direction.Direction{}, err
	}
	if late {
		return direction.Direction{}, expired(directionRole, got.Expires, t.now())
	}
	before := t.floors
	t.raiseTime(got.Issued, got.Expires)
	t.floors.Direction, t.floors.Raw = at, bytes.Clone(raw)
	if err := t.saveFloors(before); err != nil {
		return direction.Direction{}, err
	}
	d.current = &got
	return got, nil
}

// verify checks the signature, under a newer root if the one we have does not do.
func (d *Director) verify(ctx context.Context, raw []byte) (direction.Direction, error) {
	got, err := d.verifyOnce(raw)
	if err == nil || !errors.Is(err, ErrSignature) && !errors.Is(err, ErrRollback) && !errors.Is(err, ErrExpired) {
		return got, err
	}
	if walkErr := d.walk(ctx); walkErr != nil {
		return got, failf(classOf(err, ErrSignature), directionRole, "%w (and no newer director root: %w)", err, walkErr)
	}
	return d.verifyOnce(raw)
}

func (d *Director) verifyOnce(raw []byte) (direction.Direction, error) {
	t := &d.trust
	now := t.now()
	if err := t.checkRootFloor(); err != nil {
		return direction.Direction{}, err
	}
	if e := t.root.Signed.Expires; !e.After(now) {
		return direction.Direction{}, expired(metadata.ROOT, e, now)
	}
	got, err := direction.Verify(raw, t.root, now)
	switch {
	case errors.Is(err, direction.ErrExpired):
		return got, err
	case errors.Is(err, direction.ErrSignature):
		return got, fail(ErrSignature, directionRole, err)
	case err != nil:
		return got, fail(ErrFormat, directionRole, err)
	}
	return got, nil
}

// addressed refuses a direction to somebody else.
func (d *Director) addressed(got direction.Direction) error {
	if got.Tenant != d.tenant || got.Device != d.device {
		return failf(ErrSignature, directionRole, "it is for device %s of tenant %s, not for this one", got.Device, got.Tenant)
	}
	return nil
}

// Current is the newest accepted direction and its bytes, or nil. It may have
// expired since: it was fresh when it was accepted.
func (d *Director) Current() (*direction.Direction, []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return nil, nil
	}
	got := *d.current
	return &got, bytes.Clone(d.trust.floors.Raw)
}
