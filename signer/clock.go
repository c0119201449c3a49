package signer

import "time"

const (
	// clockSlack is how far this machine's clock may be behind the one that made the newest file.
	clockSlack = 10 * time.Minute
	// maxAhead is how long a repository may have slept: all that has the usual lifetime has expired by then, and whoever
	// signs with a clock that far ahead signs what devices would believe for years too long.
	maxAhead = 400 * 24 * time.Hour
	// maxLifetime is more than anybody means; the command line allows no more.
	maxLifetime = 10 * 366 * 24 * time.Hour
)

// born is before this program was written: no right clock says less.
var born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TrustClock takes this machine's clock for right, whatever the repository's files say of the time.
func (b *Base) TrustClock() { b.trustClock = true }

// newest is the time at which the newest of the published files was made, as far as they say.
func (b *Base) newest() time.Time {
	var newest time.Time
	note := func(members map[string]any) {
		if t := issued(members); t.After(newest) {
			newest = t
		}
	}
	if doc := b.Timestamp(); doc != nil {
		note(doc.Meta.Signed.UnrecognizedFields)
	}
	if root := b.Root(); root != nil {
		note(root.Signed.UnrecognizedFields)
	}
	if targets := b.Targets(); targets != nil {
		note(targets.Signed.UnrecognizedFields)
	}
	for _, product := range b.Products() {
		note(b.Role(product).Signed.UnrecognizedFields)
	}
	return newest
}

// checkClock refuses to draft or sign with a clock that is behind the newest file, where the expiry would be too early and an
// expired base would look valid, and with one that is so far ahead of it that it is rather wrong.
func (b *Base) checkClock(now time.Time) error {
	if err := checkBorn(now); err != nil {
		return err
	}
	newest := b.newest()
	switch {
	case b.trustClock || newest.IsZero():
		return nil
	case now.Add(clockSlack).Before(newest):
		return refuse("this machine's clock says %s, but the repository was signed at %s: set the clock and try again; "+
			"if it is right, the other one was wrong: --trust-clock", clockWords(now), clockWords(newest))
	case now.Sub(newest) > maxAhead:
		return refuse("this machine's clock says %s, and the newest file of the repository was signed %.0f days before, at %s: set the clock, "+
			"or take a newer copy of the repository's metadata; if nothing was signed for so long: --trust-clock",
			clockWords(now), now.Sub(newest).Hours()/24, clockWords(newest))
	}
	return nil
}

func checkBorn(now time.Time) error {
	if now.Before(born) {
		return refuse("this machine's clock says %s, which is before this program was written: set the clock and try again", clockWords(now))
	}
	return nil
}

// checkDraftClocks compares this machine's clock with those of the machines that drafted the files of a bundle.
func (f *folder) checkDraftClocks(now time.Time) error {
	for _, file := range f.files {
		drafted := issued(file.members())
		switch {
		case file.expires().Sub(now) > maxLifetime:
			return refuse("%s would be valid until %s, longer than anything should be: was the clock wrong where it was drafted? "+
				"Make it again with a right clock", file.name, clockWords(file.expires()))
		case f.base.trustClock:
		case now.Add(clockSlack).Before(drafted):
			return refuse("%s was drafted at %s, and this machine's clock says %s: one of the two is wrong. Set this one and try again, "+
				"or make the bundle again where it was drafted; if both are known: --trust-clock", file.name, clockWords(drafted), clockWords(now))
		}
	}
	return nil
}

func (f *metaFile) members() map[string]any {
	if f.root != nil {
		return f.root.Signed.UnrecognizedFields
	}
	return f.targets.Signed.UnrecognizedFields
}

func clockWords(t time.Time) string { return t.UTC().Format(time.RFC3339) }
