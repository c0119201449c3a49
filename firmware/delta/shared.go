package delta

import (
	"bytes"
	"io"
	"sync"

	"github.com/fairlead/fairlead/firmware"
)

// Shared is what decoders of one process have made, for those of a simulated fleet, which apply the same patches to equal bases over
// and over. A decoder takes a frame from it where the stored bytes are the same and its own base holds, byte for byte, each piece that
// was read for the frame; it compares the image's SHA-256 as ever. The zero value is empty, and safe for concurrent use.
//
// What a base lends is neither copied nor kept twice, and bytes that two bases lend from the same memory need not be looked at to be
// the same.
type Shared struct {
	mu   sync.Mutex
	made map[sharedKey]sharedFrame
	size int64 // bytes of all of them
}

// maxShared is of all frames and of what was read for them, in bytes. When there would be more, all are forgotten.
const maxShared = 256 << 20

// sharedKey is what a frame depends on, but for the pieces of the base.
type sharedKey struct {
	stored             firmware.Digest
	at, length, within int64 // where the frame lies in the image, its length, that of the base
}

func keyOf(f firmware.Frame, baseLength int64) sharedKey {
	return sharedKey{f.StoredSHA256, f.At, f.Length, baseLength}
}

// sharedFrame is one, and what it was made of.
type sharedFrame struct {
	image  []byte
	pieces []basePiece
}

type basePiece struct {
	at    int64
	bytes []byte
	lent  bool // by the base, and not kept here
}

func (p basePiece) end() int64 { return p.at + int64(len(p.bytes)) }

// take returns a frame, which nobody may write to, or nil. What is in room afterwards, which has that of a frame, is anything.
func (s *Shared) take(room []byte, k sharedKey, base io.ReaderAt) []byte {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	m := s.made[k]
	s.mu.Unlock()
	for _, p := range m.pieces {
		if !p.in(base, room) {
			return nil
		}
	}
	return m.image
}

// lender is a base in memory. Lend returns bytes from off on, n or fewer, and none behind its end. Nobody writes to them, and they stay
// for as long as the Shared is used.
type lender interface {
	Lend(off int64, n int) []byte
}

// in reports whether a base holds the piece.
func (p basePiece) in(base io.ReaderAt, room []byte) bool {
	if l, ok := base.(lender); ok {
		return bytes.Equal(l.Lend(p.at, len(p.bytes)), p.bytes)
	}
	held := room[:len(p.bytes)]
	n, _ := base.ReadAt(held, p.at)
	return n == len(held) && bytes.Equal(held, p.bytes)
}

// keep takes a frame that is right.
func (s *Shared) keep(k sharedKey, frame []byte, pieces []basePiece) {
	if s == nil {
		return
	}
	size := int64(len(frame))
	for _, p := range pieces {
		if !p.lent {
			size += int64(cap(p.bytes))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.made[k]; known {
		return // two have made it at the same time
	}
	if s.size+size > maxShared || s.made == nil {
		s.made, s.size = map[sharedKey]sharedFrame{}, 0
	}
	s.made[k] = sharedFrame{bytes.Clone(frame), pieces}
	s.size += size
}

// noted remembers what is read of a base, as few pieces: operations often go on where the last one ended. Together they are no longer
// than the frame.
type noted struct {
	io.ReaderAt
	pieces []basePiece
}

func (n *noted) ReadAt(p []byte, off int64) (int, error) {
	got, err := n.ReaderAt.ReadAt(p, off)
	if l, ok := n.ReaderAt.(lender); ok {
		n.borrow(l, off, got)
		return got, err
	}
	if last := len(n.pieces) - 1; last >= 0 && n.pieces[last].end() == off {
		n.pieces[last].bytes = append(n.pieces[last].bytes, p[:got]...)
	} else {
		n.pieces = append(n.pieces, basePiece{at: off, bytes: bytes.Clone(p[:got])})
	}
	return got, err
}

func (n *noted) borrow(l lender, off int64, length int) {
	for length > 0 {
		b := l.Lend(off, length)
		if len(b) == 0 {
			return
		}
		n.pieces = append(n.pieces, basePiece{off, b, true})
		off, length = off+int64(len(b)), length-len(b)
	}
}

// watch has what is read noted, if it is of use.
func (s *Shared) watch(base io.ReaderAt) (io.ReaderAt, *noted) {
	n := &noted{ReaderAt: base}
	if s == nil {
		return base, n
	}
	return n, n
}
