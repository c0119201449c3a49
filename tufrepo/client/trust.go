package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
)

// trust is the part that a Client and a Director share: a root, the floors,
// trusted time, and the store that keeps them.
type trust struct {
	store  *store
	source Source
	prefix string // of root names: "metadata/" or "director/<tenant>/"
	parser parser
	limits Limits
	clock  func() time.Time
	build  time.Time
	log    *slog.Logger
	shared *Roots // nil: this client's own

	// rotate says what a new root does to the floors.
	rotate func(f floors, last, next *metadata.RootType) floors

	root   *metadata.Metadata[metadata.RootType] // newest verified, pruned to usable keys
	floors floors
}

const floorsName = "floors"

// open loads the floors and chooses between the pinned and the stored root.
func (t *trust) open(pinned []byte) error {
	pin, digest, err := t.verifiedRoot(pinned, nil)
	if err != nil {
		return fmt.Errorf("the pinned root cannot be used: %w", err)
	}
	t.root = pin
	saved, err := t.store.load(floorsName)
	if err == nil {
		t.floors, err = parseFloors(saved)
	}
	lost := err != nil
	if lost {
		t.log.Warn("the floors cannot be read: rebuilding them from the cache", "error", err)
		t.floors = floors{Schema: floorsSchema}
	}
	t.chooseRoot(pin, digest)
	if lost {
		t.rebuild()
	}
	return nil
}

// chooseRoot prefers the stored root where it is newer. It was verified step by
// step when it was stored; here its own signatures and its floor must still hold.
func (t *trust) chooseRoot(pin *metadata.Metadata[metadata.RootType], digest string) {
	raw := t.store.read(metadata.ROOT, t.limits.Root)
	if raw == nil {
		t.raiseRoot(nil, pin, digest)
		return
	}
	stored, storedDigest, err := t.verifiedRoot(raw, nil)
	at := floor{}
	if err == nil {
		at = floor{stored.Signed.Version, storedDigest}
	}
	switch {
	case err != nil, at.Version == t.floors.Root.Version && at != t.floors.Root:
		t.log.Warn("the stored root is not good: starting at the pinned one", "error", err)
		t.raiseRoot(nil, pin, digest)
	case at.Version <= pin.Signed.Version:
		t.raiseRoot(&stored.Signed, pin, digest)
	default:
		t.root = stored
		t.raiseRoot(nil, stored, storedDigest)
	}
}

// raiseRoot notes in the floors that next is trusted, after last if we know it.
func (t *trust) raiseRoot(last *metadata.RootType, next *metadata.Metadata[metadata.RootType], digest string) {
	if next.Signed.Version <= t.floors.Root.Version {
		return
	}
	if last != nil {
		t.floors = t.rotate(t.floors, last, &next.Signed)
	}
	t.floors.Root = floor{next.Signed.Version, digest}
}

// verifiedRoot parses a root that must be signed by its own keys and, if last
// is given, by last's. What it returns is pruned.
func (t *trust) verifiedRoot(raw []byte, last *metadata.Metadata[metadata.RootType]) (*metadata.Metadata[metadata.RootType], string, error) {
	if int64(len(raw)) > t.limits.Root {
		return nil, "", failf(ErrTooLarge, metadata.ROOT, "%d bytes, at most %d are allowed", len(raw), t.limits.Root)
	}
	v, err := t.shared.get(raw, last, func() (verified, error) { return t.verifyRoot(raw, last) })
	return v.root, v.digest, err
}

func (t *trust) verifyRoot(raw []byte, last *metadata.Metadata[metadata.RootType]) (verified, error) {
	md, err := t.parser.root(raw)
	if err != nil {
		return verified{}, err
	}
	// A second copy, because what is verified must stay as it was signed.
	next, err := t.parser.root(raw)
	if err != nil {
		return verified{}, err
	}
	pruneRoot(&next.Signed)
	for _, by := range []*metadata.Metadata[metadata.RootType]{last, next} {
		if by == nil {
			continue
		}
		err := guard(metadata.ROOT, ErrSignature, func() error { return by.VerifyDelegate(metadata.ROOT, md) })
		if err != nil {
			return verified{}, err
		}
	}
	return verified{next, firmware.Sum(raw).String()}, nil
}

// walk follows the roots one version at a time (specification 5.3.3 to 5.3.9).
// Each is durable before the next is asked for, so that a device that was off
// for years gets there in several sittings.
func (t *trust) walk(ctx context.Context) error {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s%d.root.json", t.prefix, t.root.Signed.Version+1)
		raw, err := t.get(ctx, metadata.ROOT, name, t.limits.Root)
		if errors.Is(err, fs.ErrNotExist) {
			return t.checkRootFloor()
		}
		if err != nil {
			return err
		}
		if n == t.limits.RootRotations {
			return failf(ErrUnavailable, metadata.ROOT, "followed %d new roots and there are more: refresh again to go on", n)
		}
		if err := t.follow(raw); err != nil {
			return err
		}
	}
}

func (t *trust) checkRootFloor() error {
	if have, want := t.root.Signed.Version, t.floors.Root.Version; have < want {
		return failf(ErrRollback, metadata.ROOT, "version %d was seen before, the repository shows only %d", want, have)
	}
	return nil
}

// follow takes one step of the walk. The floors go first: they say which keys
// are withdrawn, which nobody could tell once the old root is gone.
func (t *trust) follow(raw []byte) error {
	next, digest, err := t.verifiedRoot(raw, t.root)
	if err != nil {
		return err
	}
	at := floor{next.Signed.Version, digest}
	if at.Version != t.root.Signed.Version+1 {
		return failf(ErrRollback, metadata.ROOT, "version %d where %d was asked for", at.Version, t.root.Signed.Version+1)
	}
	if at.Version == t.floors.Root.Version && at != t.floors.Root {
		return failf(ErrConflict, metadata.ROOT, "another root had version %d before", at.Version)
	}
	before := t.floors
	t.raiseRoot(&t.root.Signed, next, digest)
	if err := t.saveFloors(before); err != nil {
		return err
	}
	if err := t.store.write(metadata.ROOT, raw); err != nil {
		return err
	}
	t.root = next
	t.log.Info("new root", "version", at.Version)
	return nil
}

// saveFloors makes the floors durable if they differ from before, or puts them
// back.
func (t *trust) saveFloors(before floors) error {
	if t.floors.equal(before) {
		return nil
	}
	b, err := t.floors.encode()
	if err == nil {
		err = t.store.save(floorsName, b)
	}
	if err != nil {
		t.floors = before
	}
	return err
}

// get reads one small file.
func (t *trust) get(ctx context.Context, role, name string, limit int64) ([]byte, error) {
	r, err := t.source.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, classify(role, ErrUnavailable, err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, classify(role, ErrUnavailable, fmt.Errorf("read %s: %w", name, err))
	}
	if int64(len(b)) > limit {
		return nil, failf(ErrTooLarge, role, "%s is longer than the %d bytes that are allowed", name, limit)
	}
	if bytes.HasPrefix(bytes.TrimSpace(b[:min(len(b), 64)]), []byte("<")) {
		return nil, failf(ErrCaptive, role, "%s is a web page: is there a login page in between?", name)
	}
	return b, nil
}
