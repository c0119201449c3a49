package signer

import (
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// issuedMember is the member of signed that says when a file was drafted.
const issuedMember = "x-fairlead-issued"

// Short names for go-tuf's generic types.
type (
	rootMeta    = metadata.Metadata[metadata.RootType]
	targetsMeta = metadata.Metadata[metadata.TargetsType]
)

// parse reads one metadata file; name is for the message.
func parse[T metadata.Roles](name string, data []byte) (*metadata.Metadata[T], error) {
	m, err := bundle.Parse[T](data)
	if err != nil {
		return nil, refuse("%s: %w", name, err)
	}
	return m, nil
}

// stamp sets what every draft has in common.
func stamp(members *map[string]any, expires *time.Time, now time.Time, lifetime time.Duration) {
	if *members == nil {
		*members = map[string]any{}
	}
	(*members)[issuedMember] = now.UTC().Format(time.RFC3339)
	*expires = bundle.Expiry(now, lifetime)
}

// issued is the time in x-fairlead-issued; zero where there is none.
func issued(members map[string]any) time.Time {
	text, _ := members[issuedMember].(string)
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// cloneMeta is a deep copy without signatures.
func cloneMeta[T metadata.Roles](m *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	data, err := bundle.Encode(m)
	if err != nil {
		return nil, err
	}
	c, err := parse[T]("copy", data)
	if err != nil {
		return nil, err
	}
	c.ClearSignatures()
	return c, nil
}

// successor is the next version of a targets file or product role, unchanged but for version and expiry.
func successor(m *targetsMeta, now time.Time, lifetime time.Duration) (*targetsMeta, error) {
	next, err := cloneMeta(m)
	if err != nil {
		return nil, err
	}
	next.Signed.Version++
	stamp(&next.Signed.UnrecognizedFields, &next.Signed.Expires, now, lifetime)
	return next, nil
}

// list joins words for a sentence.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
