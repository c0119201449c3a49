package install

import (
	"bytes"
	"fmt"
)

const (
	blockSize    = 4 << 10   // what is compared and written as a whole
	compareChunk = 128 << 10 // read at once to be compared, at most
	probeEvery   = 512 << 10 // one block in so many bytes tells whether a frame is worth comparing
	leastZeros   = 16        // blocks of zeros in a row that are not written
	leastSame    = 5         // unchanged blocks in a row, between two that differ, that are not written
)

// Kinds of blocks.
const (
	blockDiffers byte = iota
	blockZero
	blockSame
)

// put brings image bytes to their place in the slot, and writes no more of them than differs from what it holds.
func (w *worker) put(e Extent, image []byte) error {
	kinds := w.sort(e, image)
	var n tally
	for i := 0; i < len(kinds); {
		next := runEnd(kinds, i)
		part := image[i*blockSize : min(next*blockSize, len(image))]
		if err := w.putRun(kinds[i], part, e.Offset+int64(i*blockSize), &n); err != nil {
			return err
		}
		i = next
	}
	w.remember(e, image)
	return w.finish(e, n)
}

// tally is what became of the bytes of a frame.
type tally struct{ written, unchanged, zeroed int64 }

func (w *worker) putRun(kind byte, p []byte, at int64, n *tally) error {
	switch kind {
	case blockSame:
		n.unchanged += int64(len(p))
	case blockZero:
		n.zeroed += int64(len(p))
		return w.zeroSlot(at, int64(len(p)))
	default:
		n.written += int64(len(p))
		got, err := w.Target.WriteAt(p, at)
		if err == nil && got != len(p) {
			err = fmt.Errorf("%d of %d bytes were taken", got, len(p))
		}
		if err != nil {
			return slotError(fmt.Sprintf("writing the slot at byte %d", at), err)
		}
	}
	return nil
}

// zero makes frames of zeros.
func (w *worker) zero(e Extent) error {
	if err := w.zeroSlot(e.Offset, e.Length); err != nil {
		return err
	}
	return w.finish(e, tally{zeroed: e.Length})
}

func (w *worker) zeroSlot(at, length int64) error {
	if err := w.Target.Zero(at, length); err != nil {
		return slotError(fmt.Sprintf("zeroing the slot at byte %d", at), err)
	}
	return nil
}

// sort says of each block of a frame what is to become of it. Short runs of blocks that need no writing are not worth
// two writes in place of one.
func (w *worker) sort(e Extent, image []byte) []byte {
	kinds := w.kinds[:(len(image)+blockSize-1)/blockSize]
	clear(kinds)
	for i := range kinds {
		if b := blockOf(image, i); b[0] == 0 && isZero(b) {
			kinds[i] = blockZero
		}
	}
	if w.promising(e, image) {
		w.compare(e, image, kinds)
	}
	dropShort(kinds, blockZero, leastZeros)
	dropShort(kinds, blockSame, leastSame)
	return kinds
}

func blockOf(image []byte, i int) []byte {
	return image[i*blockSize : min((i+1)*blockSize, len(image))]
}

// promising looks at a few blocks of the slot, so that one that holds something else is not read in full.
func (w *worker) promising(e Extent, image []byte) bool {
	n := max(1, len(image)/probeEvery)
	for i := range n {
		k := (2*i + 1) * len(image) / (2 * n) / blockSize
		b := blockOf(image, k)
		if held := w.held[:len(b)]; readSlot(w.Target, held, e.Offset+int64(k*blockSize)) == nil && bytes.Equal(held, b) {
			return true
		}
	}
	return false
}

// compare finds the blocks that the slot holds. A place that cannot be read is written.
func (w *worker) compare(e Extent, image []byte, kinds []byte) {
	for at := 0; at < len(image); at += len(w.held) {
		held := w.held[:min(len(w.held), len(image)-at)]
		if readSlot(w.Target, held, e.Offset+int64(at)) != nil {
			continue
		}
		for k := at / blockSize; k*blockSize < at+len(held); k++ {
			b := blockOf(image, k)
			if bytes.Equal(b, held[k*blockSize-at:][:len(b)]) {
				kinds[k] = blockSame
			}
		}
	}
}

// dropShort makes runs of a kind that are shorter than least, between two runs that differ, differ too.
func dropShort(kinds []byte, kind byte, least int) {
	for i := 0; i < len(kinds); {
		next := runEnd(kinds, i)
		if kinds[i] == kind && next-i < least && i > 0 && next < len(kinds) && kinds[i-1] == blockDiffers && kinds[next] == blockDiffers {
			clear(kinds[i:next])
		}
		i = next
	}
}

// runEnd is the first block after i of another kind.
func runEnd(kinds []byte, i int) int {
	next := i + 1
	for next < len(kinds) && kinds[next] == kinds[i] {
		next++
	}
	return next
}
