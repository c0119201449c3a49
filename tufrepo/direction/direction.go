package direction

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fairlead/fairlead/firmware"
)

// MaxSize is the longest direction in bytes. Longer ones are refused unread.
const MaxSize = 16 << 10

// Errors that callers tell apart with errors.Is.
var (
	// ErrFormat: the bytes are not a direction of this version.
	ErrFormat = errors.New("not a valid direction")
	// ErrSignature: the root's targets role did not sign these bytes. A newer root
	// may name the key that did.
	ErrSignature = errors.New("direction is not signed by the director")
	// ErrExpired: genuine, but past its expiry.
	ErrExpired = errors.New("direction has expired")
)

// Kind says how a device is to take a target. A device that does not know a kind refuses the
// direction.
type Kind string

const (
	// Forced: it begins at once. An empty Kind means the same.
	Forced Kind = "forced"
	// Soft: it is brought into the inactive slot; the reboot waits for the people at the
	// device, until DeferUntil at most.
	Soft Kind = "soft"
	// DownloadOnly: it is brought into the inactive slot, and that is all.
	DownloadOnly Kind = "download_only"
	// Ask: the people at the device are asked about the target. Nothing is fetched of its
	// image, nothing installed.
	Ask Kind = "ask"
)

// Direction is what a director says to one device.
type Direction struct {
	Tenant, Device string
	// Hardware is what the director believes the device to be.
	Hardware string
	// Version grows with every direction to this device, 1 .. 2^53-1.
	Version int64
	// Issued and Expires are whole seconds in UTC.
	Issued, Expires time.Time
	// Update is the UUID of this attempt, question or order to go offline; empty where
	// nothing is asked for.
	Update string
	// Target is the release manifest that Kind speaks of; nil asks for no release.
	Target *Target
	Kind   Kind // empty where Target is nil
	// Until is the end of the window: neither a download nor the reboot begins then or
	// later. Zero: no window. Whole seconds in UTC, as is DeferUntil.
	Until time.Time
	// DeferUntil, with Soft and only there and with Ask, is the latest moment to which
	// people may put the update off. Soft must have it.
	DeferUntil time.Time
	// Offline, without a Target, tells the device to make no connection any more. What it
	// has not obeyed yet it obeys once: Update names the order.
	Offline bool
}

// Target names a release manifest of the image repository.
type Target struct {
	Path    string          // "<product>/<version>.json"
	Length  int64           // of the manifest, in bytes
	SHA256  firmware.Digest // of the manifest
	Counter int64           // the release counter inside it
}

// check says what is wrong with the shape of d.
func (d Direction) check() error {
	switch {
	case d.Tenant == "" || len(d.Tenant) > 64:
		return errors.New("tenant is missing or too long")
	case d.Device == "" || len(d.Device) > 64:
		return errors.New("device is missing or too long")
	case d.Version < 1 || d.Version > firmware.MaxCounter:
		return fmt.Errorf("version %d is not in 1..2^53-1", d.Version)
	case d.Issued.IsZero() || !d.Expires.After(d.Issued):
		return errors.New("issued and expires are not in order")
	case !wholeUTC(d.Issued) || !wholeUTC(d.Expires):
		return errors.New("issued and expires must be whole seconds in UTC")
	}
	if err := firmware.CheckHardware(d.Hardware); err != nil {
		return err
	}
	return d.checkTarget()
}

func (d Direction) checkTarget() error {
	if d.Target == nil && !d.Offline && d.Update != "" {
		return errors.New("names an update but no target")
	}
	if u, err := uuid.Parse(d.Update); (d.Target != nil || d.Offline) && (err != nil || u.String() != d.Update) {
		return fmt.Errorf("update %q is not a UUID", d.Update)
	}
	if err := d.checkTerms(); err != nil || d.Target == nil {
		return err
	}
	t := d.Target
	if _, _, err := firmware.ParseTargetPath(t.Path); err != nil {
		return err
	}
	switch {
	case t.Length < 1 || t.Length > firmware.MaxManifest:
		return fmt.Errorf("manifest length %d is not in 1..%d", t.Length, firmware.MaxManifest)
	case t.SHA256.IsZero():
		return errors.New("manifest hash is missing")
	case t.Counter < 1 || t.Counter > firmware.MaxCounter:
		return fmt.Errorf("release counter %d is not in 1..2^53-1", t.Counter)
	}
	return nil
}

// checkTerms: what says how the target is to be taken goes together.
func (d Direction) checkTerms() error {
	switch d.Kind {
	case "", Forced, Soft, DownloadOnly, Ask:
	default:
		return fmt.Errorf("kind %.40q is unknown here, update the reader", d.Kind)
	}
	terms := d.Kind != "" || !d.Until.IsZero() || !d.DeferUntil.IsZero()
	switch {
	case d.Target == nil && terms:
		return errors.New("has kind, until or defer_until but no target")
	case d.Target != nil && d.Offline:
		return errors.New("has a target and tells the device to go offline")
	case d.Kind == Soft && d.DeferUntil.IsZero():
		return errors.New("is soft and does not say until when it may be put off")
	case !d.DeferUntil.IsZero() && d.Kind != Soft && d.Kind != Ask:
		return errors.New("says until when it may be put off, and may not be")
	case !wholeUTC(d.Until) || !wholeUTC(d.DeferUntil):
		return errors.New("until and defer_until must be whole seconds in UTC")
	}
	return nil
}

func wholeUTC(t time.Time) bool {
	_, offset := t.Zone()
	return offset == 0 && t.Nanosecond() == 0
}
