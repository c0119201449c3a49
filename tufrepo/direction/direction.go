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

// Direction is what a director says to one device.
type Direction struct {
	Tenant, Device string
	// Hardware is what the director believes the device to be.
	Hardware string
	// Version grows with every direction to this device, 1 .. 2^53-1.
	Version int64
	// Issued and Expires are whole seconds in UTC.
	Issued, Expires time.Time
	// Update is the UUID of this attempt, empty where Target is nil.
	Update string
	// Target is the release manifest to install; nil asks for nothing.
	Target *Target
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
	if d.Target == nil {
		if d.Update != "" {
			return errors.New("names an update but no target")
		}
		return nil
	}
	if u, err := uuid.Parse(d.Update); err != nil || u.String() != d.Update {
		return fmt.Errorf("update %q is not a UUID", d.Update)
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

func wholeUTC(t time.Time) bool {
	_, offset := t.Zone()
	return offset == 0 && t.Nanosecond() == 0
}
