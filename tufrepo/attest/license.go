package attest

import "strings"

// denied tells whether a licence, an identifier, a name or an SPDX expression, cannot be had without one of the denied:
// "A OR B" can be had as either, "A AND B" only as both. What cannot be read as an expression is denied if any of its words
// is.
func denied(license string, deny func(id string) bool) bool {
	e := expression{words: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(license)), deny: deny}
	no, ok := e.or(0)
	if ok && e.at == len(e.words) {
		return no
	}
	for _, w := range e.words {
		if deny(w) {
			return true
		}
	}
	return deny(license)
}

// expression is a parser of SPDX licence expressions (SPDX 2.3, annex D).
type expression struct {
	words []string
	at    int
	deny  func(id string) bool
}

const maxParens = 16

func (e *expression) next(word string) bool {
	if e.at < len(e.words) && strings.EqualFold(e.words[e.at], word) {
		e.at++
		return true
	}
	return false
}

func (e *expression) or(depth int) (no, ok bool) {
	no, ok = e.and(depth)
	for ok && e.next("OR") {
		var other bool
		other, ok = e.and(depth)
		no = no && other
	}
	return no, ok
}

func (e *expression) and(depth int) (no, ok bool) {
	no, ok = e.one(depth)
	for ok && e.next("AND") {
		var other bool
		other, ok = e.one(depth)
		no = no || other
	}
	return no, ok
}

func (e *expression) one(depth int) (no, ok bool) {
	if e.next("(") {
		if depth == maxParens {
			return false, false
		}
		no, ok = e.or(depth + 1)
		return no, ok && e.next(")")
	}
	if e.at == len(e.words) || e.words[e.at] == ")" {
		return false, false
	}
	no = e.deny(e.words[e.at])
	e.at++
	if e.next("WITH") { // an exception only permits more
		if e.at == len(e.words) {
			return false, false
		}
		e.at++
	}
	return no, true
}
