package client

import (
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// issuedMember is the member of a timestamp that says when it was signed.
const issuedMember = "x-fairlead-issued"

// now is trusted time: the latest of the clock, the build time and the floor.
// Only the first of them may be wrong, and only in the direction in which
// metadata looks expired.
func (t *trust) now() time.Time {
	now := t.clock().UTC()
	for _, least := range []time.Time{t.build, t.floors.Time} {
		if least.After(now) {
			now = least.UTC()
		}
	}
	return now
}

// raiseTime lifts the floor of trusted time to issued, which verified metadata
// that expires at expires told us. It never goes beyond that expiry or that of
// the root: the owner of the root must stay able to bring the fleet back from
// a thief who signs for the far future.
func (t *trust) raiseTime(issued, expires time.Time) {
	for _, most := range []time.Time{expires, t.root.Signed.Expires} {
		if issued.After(most) {
			t.log.Warn("ignoring an issue time beyond its expiry", "issued", issued, "expires", most)
			return
		}
	}
	if issued.After(t.floors.Time) {
		t.floors.Time = issued.UTC()
	}
}

// issuedAt reads when a verified timestamp was signed; zero if it does not say.
func issuedAt(ts *metadata.TimestampType) time.Time {
	s, _ := ts.UnrecognizedFields[issuedMember].(string)
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at
}
