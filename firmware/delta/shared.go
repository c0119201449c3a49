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
}

func (p basePiece) end() int64 { return p.at + int64(len(p.bytes)) }

// fill fills a frame, or returns false and leaves anything in it.
func (s *Shared) fill(frame []byte, k sharedKey, base io.ReaderAt) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	m, known := s.made[k]
	s.mu.Unlock()
	if !known {
		return false
	}
	for _, p := range m.pieces {
		held := frame[:len(p.bytes)]
		if n, _ := base.ReadAt(held, p.at); n < len(held) || !bytes.Equal(held, p.bytes) {
			return false
		}
	}
	copy(frame, m.image)
	return true
}

// keep takes a frame that is right.
func (s *Shared) keep(k sharedKey, frame []byte, pieces []basePiece) {
	if s == nil {
		return
	}
	size := int64(len(frame))
	for _, p := range pieces {
		size += int64(cap(p.bytes))
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
	if last := len(n.pieces) - 1; last >= 0 && n.pieces[last].end() == off {
		n.pieces[last].bytes = append(n.pieces[last].bytes, p[:got]...)
	} else {
		n.pieces = append(n.pieces, basePiece{off, bytes.Clone(p[:got])})
	}
	return got, err
}

// watch has what is read noted, if it is of use.
func (s *Shared) watch(base io.ReaderAt) (io.ReaderAt, *noted) {
	n := &noted{ReaderAt: base}
	if s == nil {
		return base, n
	}
	return n, n
}
