package install

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// Frames that the slot or the base holds at their place are not fetched, if there are some at all; what is not right there is.
func TestHeldFrames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	image := make([]byte, 40*testFrame-100)
	fill(rnd, image)
	clear(image[6*testFrame : 8*testFrame])
	rel := makeRelease(t, image)
	other := make([]byte, len(image))
	fill(rnd, other)
	except := func(b []byte, frames ...int) []byte {
		b = bytes.Clone(b)
		for _, i := range frames {
			b[i*testFrame+7]++
		}
		return b
	}
	odd := bytes.Clone(other) // holds every other frame
	for at := testFrame; at < len(image); at += 2 * testFrame {
		copy(odd[at:min(at+testFrame, len(odd))], image[at:])
	}
	var all, even []int
	for i := range rel.head.Len() {
		if rel.head.Frame(i).Kind == firmware.FrameZero {
			continue
		}
		if all = append(all, i); i%2 == 0 {
			even = append(even, i)
		}
	}
	for _, c := range []struct {
		name       string
		slot, base []byte
		fetched    []int
		read       int64 // frames of the slot that are read in full, at most, before it is read back
	}{
		{name: "nothing", slot: other, base: other, fetched: all, read: 5},
		{name: "the slot has all", slot: image, read: 40},
		{name: "the slot has nearly all", slot: except(image, 5, 17, 39), fetched: []int{5, 17, 39}, read: 48},
		{name: "the base has all", slot: other, base: image, read: 5},
		{name: "the base has nearly all", slot: other, base: except(image, 0, 33), fetched: []int{0, 33}, read: 8},
		{name: "the base is short", slot: other, base: image[:20*testFrame+5], fetched: all[18:], read: 8},
		{name: "one has what the other has not", slot: odd, base: except(image, 3, 4), fetched: []int{4}, read: 60},
		{name: "every other", slot: odd, fetched: even, read: 60},
	} {
		for _, kind := range deviceKinds(t) {
			t.Run(c.name+"/"+kind.name, func(t *testing.T) {
				path := kind.make(t, 41*testFrame)
				d := &countingDevice{Device: openTestSlot(t, path, SlotOptions{})}
				_, err := d.WriteAt(c.slot, 0)
				must(t, err)
				must(t, d.Sync())
				s := &memorySource{release: rel}
				p := plan(t, s, d, fastDir(t))
				if c.base != nil {
					p.Base = bytes.NewReader(c.base)
				}
				read := int64(0)
				p.Progress = func(q Progress) {
					if q.Phase == PhaseVerify && read == 0 {
						read = d.read.Load()
					}
				}
				res, err := Run(t.Context(), p)
				must(t, err)
				checkSlot(t, path, image)
				if got := s.framesAsked(); !slices.Equal(got, c.fetched) {
					t.Errorf("frames %v were fetched, want %v", got, c.fetched)
				}
				if held := res.Held / testFrame; held < int64(len(all)-len(c.fetched)-1) || res.Healed != 0 {
					t.Errorf("%+v", res)
				}
				if read > (c.read+2)*testFrame {
					t.Errorf("%.1f frames of the slot were read, want at most %d", float64(read)/testFrame, c.read)
				}
			})
		}
	}
}
