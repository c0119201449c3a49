package audit

import (
	"iter"
	"strings"
	"time"
)

// Query picks entries. Fields with their zero value let everything through.
type Query struct {
	Actor   Actor     // each of its parts by itself
	Action  string    // an action, or with a dot at its end all of a kind: "rollout."
	Object  string    // an object, or with a slash at its end all of a kind: "device/"
	Outcome Outcome   //
	Since   time.Time // at or after
	Until   time.Time // before
}

// Match reports whether q lets e through.
func (q Query) Match(e Entry) bool {
	switch {
	case q.Actor.Kind != "" && q.Actor.Kind != e.Actor.Kind,
		q.Actor.ID != "" && q.Actor.ID != e.Actor.ID,
		!matches(q.Action, string(e.Action), "."),
		!matches(q.Object, e.Object, "/"),
		q.Outcome != "" && q.Outcome != e.Outcome,
		!q.Since.IsZero() && e.Time.Before(q.Since),
		!q.Until.IsZero() && !e.Time.Before(q.Until):
		return false
	}
	return true
}

func matches(want, have, sep string) bool {
	return want == "" || want == have || strings.HasSuffix(want, sep) && strings.HasPrefix(have, want)
}

// Select yields the entries of rows that q lets through, in their order. A row that holds
// no entry is an error, and so is what rows yields as one; it ends there. It proves nothing:
// see Verify.
func (q Query) Select(rows iter.Seq2[Row, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for row, err := range rows {
			var e Entry
			if err == nil {
				e, err = ParseEntry(row.Entry)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if q.Match(e) && !yield(e, nil) {
				return
			}
		}
	}
}
