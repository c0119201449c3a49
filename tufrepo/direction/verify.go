package direction

import (
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Verify reads raw and checks it against the director root, which the caller has
// already verified, and against now.
//
// The signatures must meet the threshold of the root's targets role (TUF 5.6.3).
// Errors are ErrFormat, ErrSignature or ErrExpired. With ErrExpired, and only
// then, the direction is returned too: it is genuine, and must not be acted on.
func Verify(raw []byte, root *metadata.Metadata[metadata.RootType], now time.Time) (Direction, error) {
	md, d, err := parse(raw)
	if err != nil {
		return Direction{}, err
	}
	if err := verifySignatures(root, md); err != nil {
		return Direction{}, fmt.Errorf("%w (root version %d): %w", ErrSignature, root.Signed.Version, err)
	}
	if !now.Before(d.Expires) {
		return d, fmt.Errorf("%w: version %d on %s, now is %s", ErrExpired, d.Version,
			d.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return d, nil
}

// verifySignatures is go-tuf's check with its panics made errors.
func verifySignatures(root *metadata.Metadata[metadata.RootType], md *metadata.Metadata[metadata.TargetsType]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("verifying: %v", p)
		}
	}()
	return root.VerifyDelegate(metadata.TARGETS, md)
}
