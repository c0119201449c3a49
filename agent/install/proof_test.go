package install

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// lyingDevice counts what is read of it in the end, and lies once about what it holds.
type lyingDevice struct {
	Device
	ending atomic.Bool // all was fetched
	late   atomic.Int64
	lie    atomic.Int64 // the byte that is read wrong, once, before the end; below 0 for none
}

func (d *lyingDevice) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.Device.ReadAt(p, off)
	if d.ending.Load() {
		d.late.Add(int64(n))
		return n, err
	}
	if at := d.lie.Load(); at >= off && at < off+int64(n) && len(p) == testFrame && d.lie.CompareAndSwap(at, -1) {
		p[at-off] ^= 0x10
	}
	return n, err
}

// On a line that is slower than the slot most of the image is read back before the last frame has come. A frame that was
// wrong then is healed, and so is all that later writes have changed.
func TestReadBackWhileFetching(t *testing.T) {
	image := testImage(4*60, 0)
	for i := range 60 { // frames of noise, which come slowly
		copy(image[i*testFrame:], image[(4*i+2)*testFrame:][:testFrame])
	}
	rel := makeRelease(t, image[:60*testFrame])
	for _, c := range []struct {
		name   string
		lie    int64
		spoil  int // frames from the front that change when all was fetched
		healed int
		late   int64 // bytes read in the end, at most
	}{
		{"well", -1, 0, 0, 30 * testFrame},
		{"a frame reads back wrong", 3*testFrame + 5, 0, 1, 91 * testFrame},
		{"later writes hit earlier frames", -1, 30, 30, 240 * testFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, journal := shmSlot(t, 1), fastDir(t)
			synctest.Test(t, func(t *testing.T) {
				d := &lyingDevice{Device: openTestSlot(t, path, SlotOptions{Capacity: 1 << 30})}
				d.lie.Store(c.lie)
				source, stop := longLine(t, rel)
				res, err := Run(t.Context(), Plan{Manifest: rel.manifest, Source: source, Target: d, Slot: "b", Journal: journal, Progress: func(p Progress) {
					if p.Phase == PhaseVerify && !d.ending.Swap(true) && c.spoil > 0 {
						_, err := d.WriteAt(bytes.Repeat([]byte{0xEE}, c.spoil*testFrame), 0)
						must(t, err)
					}
				}})
				stop()
				must(t, err)
				if late := d.late.Load(); res.Healed != c.healed || late > c.late || d.lie.Load() >= 0 {
					t.Errorf("%d frames were healed, want %d; %d frames were read in the end, want at most %d; %+v", res.Healed, c.healed, late/testFrame, c.late/testFrame, res)
				}
			})
			checkSlot(t, path, rel.image)
		})
	}
}
