package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Limits under which codes are safe; the package's text has the arithmetic.
const (
	MaxCodes        = 1000           // alive at a time, in the whole service
	CodeLife        = 24 * time.Hour // at most
	CodeTries       = 20             // failed tries a minute, in the whole service
	CodeTriesSource = 5              // tries a minute from one address, wrong check symbols included

	codeBits   = 40
	codeLength = 8
	checkBase  = 37
	codeAlpha  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's
	checkAlpha = codeAlpha + "*~$=U"                // the rest for the check symbol only
	codeDomain = "fairlead claim code v1\x00"
)

// Code is a claim code for people to type. Printing it does not show it.
type Code struct{ value uint64 }

// NewCode makes a code out of random, which is crypto/rand.Reader but in tests.
func NewCode(random io.Reader) (Code, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[8-codeBits/8:]); err != nil {
		return Code{}, fmt.Errorf("making a claim code: %w", err)
	}
	return Code{binary.BigEndian.Uint64(b[:])}, nil
}

// Reveal is the code for its owner: "7K3M-9QXA-T".
func (c Code) Reveal() string {
	s := c.text()
	return s[:4] + "-" + s[4:] + "-" + string(checkAlpha[c.value%checkBase])
}

func (c Code) text() string {
	var b [codeLength]byte
	for i := range b {
		b[i] = codeAlpha[c.value>>(codeBits-5*(i+1))&31]
	}
	return string(b[:])
}

func (c Code) String() string { return "claim code …" }

// Format is for every verb: %d would otherwise show the value.
func (c Code) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// Hash is what is kept of the code, and what it is found by. key, 32 random bytes or more,
// lies where whoever gets the database does not get it.
func (c Code) Hash(key []byte) (Hash, error) {
	if len(key) < sha256.Size {
		return Hash{}, fmt.Errorf("hashing a claim code: a key of %d bytes is too short", len(key))
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(codeDomain + c.text()))
	return Hash(m.Sum(nil)), nil
}

// ParseCode reads what somebody typed. Its errors can be told to them: they come without
// any code being looked up.
func ParseCode(typed string) (Code, error) {
	if len(typed) > maxText {
		return Code{}, errors.New("claim code: it is too long")
	}
	var v uint64
	n, check := 0, 0
	for _, b := range []byte(typed) {
		if b == '-' || b == ' ' {
			continue
		}
		n++
		i := symbol(b)
		if i < 0 || n <= codeLength && i >= len(codeAlpha) {
			return Code{}, fmt.Errorf("claim code: symbol %d is none that occurs in codes", n)
		}
		if n <= codeLength {
			v = v<<5 | uint64(i)
		}
		check = i
	}
	if n != codeLength+1 {
		return Code{}, fmt.Errorf("claim code: it has %d symbols, like 7K3M-9QXA-T", codeLength+1)
	}
	if v%checkBase != uint64(check) {
		return Code{}, errors.New("claim code: it is mistyped: its last symbol does not fit")
	}
	return Code{v}, nil
}

// symbol is the value of what was typed, or -1.
func symbol(b byte) int {
	if b >= 'a' && b <= 'z' {
		b -= 'a' - 'A'
	}
	switch b {
	case 'O':
		b = '0'
	case 'I', 'L':
		b = '1'
	}
	return strings.IndexByte(checkAlpha, b)
}
