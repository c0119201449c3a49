package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	format     = 1
	headLength = 1 + 8 + 8 // format, number, time
)

// encode writes e, which must have passed check, in its only form.
func encode(e Entry) []byte {
	b := make([]byte, 0, 256+len(e.Detail))
	b = append(b, format)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Seq))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time.Unix()))
	for _, s := range []string{string(e.Actor.Kind), e.Actor.ID, e.Role, string(e.Action), e.Object, string(e.Outcome), source(e.Source)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Detail)))
	return append(b, e.Detail...)
}

// source is empty for no address: netip writes "invalid IP".
func source(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// ParseEntry reads the encoded form and no other: whatever it takes, it would write with
// the same bytes.
func ParseEntry(b []byte) (Entry, error) {
	e, err := decode(b)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("audit entry: %w", err)
	}
	return e, nil
}

func decode(b []byte) (Entry, error) {
	if len(b) > MaxEntry {
		return Entry{}, fmt.Errorf("%d bytes, at most %d are allowed", len(b), MaxEntry)
	}
	if len(b) < headLength {
		return Entry{}, errors.New("cut off")
	}
	if b[0] != format {
		return Entry{}, fmt.Errorf("format %d is unknown: read it with a later version", b[0])
	}
	seq, seconds := binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])
	if seq > 1<<53 || seconds > 1<<40 {
		return Entry{}, errors.New("number or time is out of range")
	}
	r := reader{rest: b[headLength:]}
	e := Entry{Seq: int64(seq), Time: time.Unix(int64(seconds), 0).UTC()}
	e.Actor.Kind = Kind(r.text(MaxActor))
	e.Actor.ID = r.text(MaxActor)
	e.Role = r.text(MaxRole)
	e.Action = Action(r.text(maxAction))
	e.Object = r.text(MaxObject)
	e.Outcome = Outcome(r.text(maxAction))
	e.Source = r.addr()
	if detail := r.text(MaxDetail); detail != "" {
		e.Detail = []byte(detail)
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d bytes after its end", len(r.rest))
	}
	return e, r.err
}

// reader takes fields off the front; after its first error it yields empty ones.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) text(most int) string {
	if r.err != nil {
		return ""
	}
	n, used := binary.Uvarint(r.rest)
	switch {
	case used <= 0:
		r.err = errors.New("cut off, or a length is not a number")
	case used > 1 && r.rest[used-1] == 0:
		r.err = errors.New("a length is not in its shortest form")
	case n > uint64(most):
		r.err = fmt.Errorf("a field has %d bytes, at most %d are allowed", n, most)
	case n > uint64(len(r.rest)-used):
		r.err = errors.New("cut off")
	default:
		s := string(r.rest[used : used+int(n)])
		r.rest = r.rest[used+int(n):]
		return s
	}
	return ""
}

func (r *reader) addr() netip.Addr {
	s := r.text(maxSource)
	if s == "" || r.err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.String() != s {
		r.err = fmt.Errorf("source %.50q is not an address in its usual form", s)
		return netip.Addr{}
	}
	return a
}
