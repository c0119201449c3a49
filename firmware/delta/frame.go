package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrBase: the base is not the one that the patch is made for, at the places that a frame needs, or cannot be read.
var ErrBase = errors.New("the base is not what the patch expects")

// Operations, of which a stored frame is a list.
const (
	opCopy   = iota // bytes of the base
	opFields        // bytes of the base, some of them changed
	opFresh         // bytes that the base does not have
	opRaw           // such bytes, as they are
	opZero          // zeros
	opCount
)

// Where the bytes of the base lie.
const (
	placeGoesOn  = iota // as far from the last ones as in the image
	placeFollows        // right after the last ones
	placeRecent         // as far from the image's bytes as some before: 3
	placeOther   = placeRecent + recentShifts
)

const (
	recentShifts = 3
	opLimit      = 127
)

// operation is one of a frame; the length is 1 or more.
type operation struct {
	kind    int
	at      int // within the frame
	length  int
	old     int64 // within the base, for opCopy and opFields
	matches []match
}

// codec codes the operations of frames. Both directions run the same code.
type codec struct {
	c        coder
	fields   *fields
	literals *literals
	kinds    []prob
	lengths  [opCount]numbers
	places   []prob
	jumps    numbers

	last, beforeLast int
	old              int64 // the end of the last bytes of the base
	at               int   // the end of their counterpart
	shifts           [recentShifts]int64
	lastPlace        int
}

func newCodec() *codec {
	d := &codec{fields: newFields(), literals: newLiterals(), kinds: newProbs(64 * 8), places: newProbs(64 * 8), jumps: newNumbers()}
	for i := range d.lengths {
		d.lengths[i] = newNumbers()
	}
	return d
}

func (d *codec) reset(image int64) {
	d.fields.reset()
	d.literals.reset()
	clearProbs(d.kinds)
	clearProbs(d.places)
	d.jumps.reset()
	for i := range d.lengths {
		d.lengths[i].reset()
	}
	d.last, d.beforeLast, d.lastPlace = opZero, opZero, 0
	d.old, d.at = image, 0
	d.shifts = [recentShifts]int64{0, 0, 0}
}

// head codes what stands before the bytes of an operation. The image's frame lies at offset image.
func (d *codec) head(o operation, image int64) operation {
	ctx := d.last*8 + d.beforeLast
	o.kind = codeTree(&d.c, d.kinds[ctx*8:], o.kind, 3, opLimit)
	d.beforeLast, d.last = d.last, o.kind
	if o.kind >= opCount {
		return o
	}
	length := d.lengths[o.kind].code(&d.c, uint64(o.length))
	o.length = int(min(length, math.MaxInt32))
	if o.kind <= opFields {
		o.old = d.place(o, ctx, image)
	}
	return o
}

// place codes where the bytes of the base lie.
func (d *codec) place(o operation, ctx int, image int64) int64 {
	follows := d.old
	goesOn := d.old + int64(o.at-d.at)
	here := image + int64(o.at)
	p := placeOther
	switch o.old {
	case goesOn:
		p = placeGoesOn
	case follows:
		p = placeFollows
	default:
		for i, s := range d.shifts {
			if here+s == o.old {
				p = placeRecent + i
				break
			}
		}
	}
	p = codeTree(&d.c, d.places[ctx*8:], p, 3, opLimit)
	var old int64
	switch {
	case p == placeGoesOn:
		old = goesOn
	case p == placeFollows:
		old = follows
	case p < placeOther:
		old = here + d.shifts[p-placeRecent]
	default:
		old = goesOn + unzigzag(d.jumps.code(&d.c, zigzag(o.old-goesOn)))
	}
	if s := old - here; p != placeGoesOn {
		k := 0
		for k < recentShifts-1 && d.shifts[k] != s {
			k++
		}
		copy(d.shifts[1:k+1], d.shifts[:k])
		d.shifts[0] = s
	}
	return old
}

func (d *codec) used(o operation) {
	d.old, d.at = o.old+int64(o.length), o.at+o.length
}

// encode returns the stored form of a frame, appended to out. The frame lies at offset image of the image.
func (d *codec) encode(out, frame []byte, image int64, base []byte, ops []operation, work []byte) []byte {
	d.c.startEncoding(out)
	d.reset(image)
	for _, o := range ops {
		d.head(o, image)
		dst := work[o.at : o.at+o.length]
		switch o.kind {
		case opCopy:
			d.used(o)
			copy(dst, base[o.old:])
		case opFields:
			d.used(o)
			copy(dst, base[o.old:])
			d.fields.code(&d.c, work, o.at, o.at+o.length, o.old, image, frame)
		case opFresh:
			copy(dst, frame[o.at:])
			d.literals.code(&d.c, work, o.at, o.at+o.length, o.matches)
		case opRaw:
			copy(dst, frame[o.at:])
			d.raw(dst)
		case opZero:
			clear(dst)
		}
	}
	return d.c.finish()
}

// raw codes bytes as they are, two at a time.
func (d *codec) raw(b []byte) {
	for ; len(b) >= 2; b = b[2:] {
		binary.BigEndian.PutUint16(b, uint16(d.c.plain(uint64(binary.BigEndian.Uint16(b)), 16)))
	}
	if len(b) == 1 {
		b[0] = byte(d.c.plain(uint64(b[0]), 8))
	}
}

// decode fills a frame.
func (d *codec) decode(frame, stored []byte, image int64, base io.ReaderAt, baseLength int64) error {
	d.c.startDecoding(stored)
	d.reset(image)
	for at := 0; at < len(frame); {
		o := d.head(operation{at: at}, image)
		if o.kind >= opCount || o.length < 1 || o.length > len(frame)-at || d.c.over > 2 {
			return errStored
		}
		if err := d.fill(frame, o, image, base, baseLength); err != nil {
			return err
		}
		at += o.length
	}
	return nil
}

// errStored: with this base, the stored bytes are no list of operations.
var errStored = errors.New("what is decoded is not possible")

func (d *codec) fill(frame []byte, o operation, image int64, base io.ReaderAt, baseLength int64) error {
	dst := frame[o.at : o.at+o.length]
	switch o.kind {
	case opCopy, opFields:
		if o.old < 0 || o.old > baseLength-int64(o.length) {
			return errStored
		}
		if n, err := base.ReadAt(dst, o.old); n < len(dst) {
			return fmt.Errorf("read %d bytes at %d: %w", len(dst), o.old, err)
		}
		d.used(o)
		if o.kind == opFields {
			d.fields.code(&d.c, frame, o.at, o.at+o.length, o.old, image, nil)
		}
	case opFresh:
		if !d.literals.code(&d.c, frame, o.at, o.at+o.length, nil) {
			return errStored
		}
	case opRaw:
		d.raw(dst)
	case opZero:
		clear(dst)
	}
	return nil
}
