package audit

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTampered is what Verify's error is where the chain is not as it was written.
var ErrTampered = errors.New("the audit log was changed")

// Fault is what is wrong with rows.
type Fault string

const (
	Altered   Fault = "altered"   // the row is not what was written
	Missing   Fault = "missing"   // no row has the number
	Inserted  Fault = "inserted"  // a row more than belongs there has the number
	Reordered Fault = "reordered" // the row is genuine and stands after later ones
	Rewritten Fault = "rewritten" // at least one was altered, deleted or inserted, and the hashes made to fit
	Forked    Fault = "forked"    // two heads were signed that cannot both be of one chain
	BadHead   Fault = "bad head"  // what was given as a signed head is not one of this chain
	Hopeless  Fault = "hopeless"  // so much is wrong that the check was ended
)

// Finding is one thing that is wrong.
type Finding struct {
	Fault  Fault  `json:"fault"`
	Rows   Span   `json:"rows"`   // zero for a BadHead
	Detail string `json:"detail"` // for people
}

func (f Finding) String() string {
	if f.Rows == (Span{}) {
		return fmt.Sprintf("%s: %s", f.Fault, f.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", f.Rows, f.Fault, f.Detail)
}

// Report is what Verify has found.
type Report struct {
	Chain    string    `json:"chain"`
	Rows     int64     `json:"rows"`   // that were read
	After    int64     `json:"after"`  // the boundary: rows up to this number were not asked for
	Last     int64     `json:"last"`   // the highest number of a row
	Heads    int       `json:"heads"`  // signed heads that agree with a row
	Sealed   int64     `json:"sealed"` // the row of the newest of them, 0 for none
	Day      Day       `json:"day"`    // and its day
	Proven   []Span    `json:"proven"` // rows that a signed head vouches for, in order
	Findings []Finding `json:"findings"`
}

// Open are the rows after the newest signed head that agrees: nothing would show that they
// were cut off or rewritten. False where there are none.
func (r Report) Open() (Span, bool) {
	s := Span{max(r.Sealed, r.After) + 1, r.Last}
	for _, f := range r.Findings {
		if f.Fault == Rewritten {
			s.From = max(s.From, f.Rows.To+1)
		}
	}
	return s, s.From <= s.To
}

// String is the report for people, several lines.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "audit chain %s: %d rows read, the last is number %d\n", r.Chain, r.Rows, r.Last)
	if r.After > 0 {
		fmt.Fprintf(&b, "rows up to %d are not here: they went before a signed head\n", r.After)
	}
	for _, s := range r.Proven {
		fmt.Fprintf(&b, "%s: proven by signed heads\n", s)
	}
	if open, ok := r.Open(); ok {
		fmt.Fprintf(&b, "%s: no signed head vouches for them yet; nothing would show that they, or others after them, were cut off or rewritten\n", open)
	}
	if r.Heads > 0 {
		fmt.Fprintf(&b, "signed heads that agree: %d, the newest of %s; were newer ones made and deleted, only a copy kept elsewhere shows it\n", r.Heads, r.Day)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s\n", f)
	}
	return b.String()
}

// err is nil where nothing was found.
func (r Report) err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	return fmt.Errorf("audit chain %s: %w: %s (%d findings in all)", r.Chain, ErrTampered, r.Findings[0], len(r.Findings))
}
