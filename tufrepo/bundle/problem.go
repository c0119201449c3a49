package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// Kind sorts problems by what has to happen next.
type Kind string

// The kinds of problems.
const (
	Refused  Kind = "refused"  // the bundle is wrong and must be made anew
	Unsigned Kind = "unsigned" // more people must sign
	Conflict Kind = "conflict" // the repository has moved on since the bundle was made
)

// Problem is one reason why a bundle cannot be published.
type Problem struct {
	Kind Kind   `json:"kind"`
	Role string `json:"role,omitempty"` // role or product concerned
	File string `json:"file,omitempty"` // file of the bundle concerned
	What string `json:"what"`           // what is wrong
	Do   string `json:"do"`             // what the user can do
	// Signatures is set when the kind is Unsigned.
	Signatures *Signatures `json:"signatures,omitempty"`
}

// Error is one line.
func (p *Problem) Error() string {
	where := p.File
	if where == "" {
		where = p.Role
	}
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%s%s; %s", where, p.What, p.Do)
}

// Problems is the error of Check: all that was found, in the order of the
// files' publication.
type Problems []*Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Kind is what the problems come to: a conflict if there is one, because then
// the bundle is made again whatever else is wrong; unsigned if nothing else is
// wrong; otherwise refused.
func (ps Problems) Kind() Kind {
	kind := Unsigned
	for _, p := range ps {
		switch p.Kind {
		case Conflict:
			return Conflict
		case Refused:
			kind = Refused
		}
	}
	return kind
}

// AsProblems finds the problems in an error of Check.
func AsProblems(err error) (Problems, bool) {
	var ps Problems
	ok := errors.As(err, &ps)
	return ps, ok
}

// Hints for the user that more than one problem ends with.
const (
	doRebuild = "build the bundle again on the repository as it is now"
	doSign    = "let the holders of these keys run fairlead-sign sign on the bundle"
	doRemake  = "make the bundle again with fairlead-sign"
	doRemove  = "remove the file from the bundle"
)
