package install

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
)

const patchFrame = testFrame // frames of patches; those of the artifacts here are twice as long

// patchedRelease is a release with a patch, for devices that have the image before it.
func patchedRelease(t testing.TB, base, image []byte) release {
	t.Helper()
	rel := makeReleaseOf(t, image, 2*testFrame)
	spool, err := os.CreateTemp(t.TempDir(), "spool")
	must(t, err)
	defer spool.Close()
	var patch bytes.Buffer
	c, err := delta.Create(t.Context(), &patch, base, image, spool, delta.Options{FrameSize: patchFrame})
	must(t, err)
	rel.manifest.Patches = []firmware.Patch{c.Patch}
	rel.base, rel.patch = base, patch.Bytes()
	return rel
}

// testPatched is a release whose frames are noise, but for some zeros, so that each frame of the patch needs its own place of
// the base: in each some bytes differ.
func testPatched(t testing.TB) release {
	rnd := rand.New(rand.NewPCG(7, 2))
	image := make([]byte, 20*testFrame-testFrame/3)
	fill(rnd, image)
	clear(image[10*testFrame : 12*testFrame])
	base := bytes.Clone(image)
	for at := 100; at+50 < len(base); at += testFrame / 2 {
		fill(rnd, base[at:at+1+rnd.IntN(40)])
	}
	return patchedRelease(t, base, image)
}

// baseReader is a base that is not what it should be in some places.
type baseReader struct {
	io.ReaderAt
	spoil func(p []byte, off int64) error
}

func (b baseReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.ReaderAt.ReadAt(p, off)
	if spoilt := b.spoil(p[:n], off); spoilt != nil {
		return 0, spoilt
	}
	return n, err
}

// flipIn flips every byte of a part of the base.
func flipIn(from, to int64) func(p []byte, off int64) error {
	return func(p []byte, off int64) error {
		for i := max(from-off, 0); i < min(to-off, int64(len(p))); i++ {
			p[i] ^= 0x55
		}
		return nil
	}
}

func nothing([]byte, int64) error { return nil }

func patchPlan(t testing.TB, s *memorySource, d Device, journal string, spoil func(p []byte, off int64) error) Plan {
	p := plan(t, s, d, journal)
	p.Base, p.BaseImage = baseReader{bytes.NewReader(s.base), spoil}, s.manifest.Patches[0].From
	return p
}

// The patch brings what the base makes, the artifact what it does not, and not a byte more than that.
func TestPatch(t *testing.T) {
	rel := testPatched(t)
	frames := rel.head.Len()
	var stored []int // frames of the artifact that are not zeros
	for i := range frames {
		if rel.head.Frame(i).Kind != firmware.FrameZero {
			stored = append(stored, i)
		}
	}
	for _, c := range []struct {
		name     string
		spoil    func(p []byte, off int64) error
		edit     func(p *Plan, s *memorySource)
		artifact []int // frames of the artifact that are fetched
		patch    bool  // more of the patch is fetched than what is at its front
	}{
		{name: "the right base", patch: true},
		{name: "a part of the base differs", spoil: flipIn(5*testFrame, 6*testFrame), artifact: []int{2}, patch: true},
		{name: "a byte of the base differs", spoil: flipIn(9*testFrame+3000, 9*testFrame+3001), artifact: []int{4}, patch: true},
		{name: "the base cannot be read in a place", spoil: func(p []byte, off int64) error {
			if off < 13*testFrame && off+int64(len(p)) > 12*testFrame+500 {
				return syscall.EIO
			}
			return nil
		}, artifact: []int{6}, patch: true},
		{name: "the base is another image", spoil: flipIn(0, 1<<30), artifact: stored},
		{name: "the base changes while it is read", spoil: func(p []byte, off int64) error { fill(rand.New(rand.NewPCG(uint64(off), 5)), p); return nil }, artifact: stored},
		{name: "the base is short", edit: func(p *Plan, s *memorySource) { p.Base = bytes.NewReader(s.base[:17*testFrame]) }, artifact: []int{8, 9}, patch: true},
		{name: "no base", edit: func(p *Plan, _ *memorySource) { p.Base = nil }, artifact: stored},
		{name: "another base", edit: func(p *Plan, _ *memorySource) { p.BaseImage.SHA256[0]++ }, artifact: stored},
		{name: "the patch is lost", edit: func(_ *Plan, s *memorySource) {
			s.openPatch = func(int, int64, int64) (io.ReadCloser, error) { return nil, os.ErrNotExist }
		}, artifact: stored},
		{name: "the patch gets lost", edit: func(p *Plan, s *memorySource) {
			p.Limits.Request, p.Limits.Workers = 1, 1
			head, err := firmware.ParsePatchHead(s.patch[:s.manifest.Patches[0].Head.Length])
			must(t, err)
			s.openPatch = func(_ int, offset, _ int64) (io.ReadCloser, error) {
				if offset >= head.Frame(2).Offset {
					return nil, os.ErrNotExist
				}
				return nil, nil
			}
		}, artifact: stored[1:]},
		{name: "the patch's head is wrong", edit: func(_ *Plan, s *memorySource) { s.patch = flipped(s.patch, 90) }, artifact: stored},
		{name: "the patch is for another base", edit: func(p *Plan, s *memorySource) {
			s.manifest.Patches[0].From.SHA256[0]++
			p.BaseImage.SHA256[0]++
		}, artifact: stored},
		{name: "frames of the patch are wrong", edit: func(_ *Plan, s *memorySource) {
			head, err := firmware.ParsePatchHead(s.patch[:s.manifest.Patches[0].Head.Length])
			must(t, err)
			s.patch = flipped(flipped(s.patch, int(head.Frame(5).Offset)), int(head.Frame(9).Offset+1))
		}, artifact: []int{2, 4}, patch: true},
		{name: "the patch is wrong", edit: func(_ *Plan, s *memorySource) {
			s.patch = append(bytes.Clone(s.patch[:s.manifest.Patches[0].Head.Length]), make([]byte, len(s.patch))...)
		}, artifact: stored},
		{name: "the patch is larger than the artifact", edit: func(_ *Plan, s *memorySource) {
			s.manifest.Patches[0].Length = s.manifest.Artifact.Length
		}, artifact: stored},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &memorySource{release: rel}
			m := *rel.manifest
			m.Patches = []firmware.Patch{m.Patches[0]}
			s.manifest = &m
			path := fileSlot(t, 2<<20)
			if c.spoil == nil {
				c.spoil = nothing
			}
			p := patchPlan(t, s, openTestSlot(t, path, SlotOptions{}), fastDir(t), c.spoil)
			p.Limits.Buffers, p.Limits.Request = 0, 0
			if c.edit != nil {
				c.edit(&p, s)
			}
			res, err := Run(t.Context(), p)
			must(t, err)
			checkSlot(t, path, rel.image)
			if got := s.framesAsked(); !equalInts(got, c.artifact) {
				t.Errorf("frames %v of the artifact were fetched, want %v", got, c.artifact)
			}
			if len(c.artifact) == len(stored) && len(s.asked) > 1 {
				t.Errorf("the whole artifact was asked for as %v", s.asked)
			}
			if c.edit == nil && len(s.askedPatch) > 1 {
				t.Errorf("a patch that came as it should was asked for again: %v", s.askedPatch)
			}
			if whole := res.Patched > int64(len(rel.image))/3; whole != c.patch {
				t.Errorf("the patch made %d bytes", res.Patched)
			}
			if res.Written+res.Unchanged+res.Zeroed < int64(len(rel.image)) || res.Healed != 0 {
				t.Errorf("%+v", res)
			}
		})
	}
}

func equalInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// When neither patch nor artifact can be had, the error says so, and what the patch brought stays.
func TestPatchAndArtifactFail(t *testing.T) {
	rel := testPatched(t)
	s := &memorySource{release: rel, open: func(int, int64, int64) (io.ReadCloser, error) { return nil, errLine }}
	path, journal := fileSlot(t, 2<<20), fastDir(t)
	d := openTestSlot(t, path, SlotOptions{})
	if _, err := Run(t.Context(), patchPlan(t, s, d, journal, flipIn(5*testFrame, 6*testFrame))); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "fetching the artifact") {
		t.Fatal(err)
	}
	s = &memorySource{release: rel}
	res, err := Run(t.Context(), patchPlan(t, s, d, journal, nothing))
	must(t, err)
	checkSlot(t, path, rel.image)
	if len(s.asked) > 0 || res.Skipped < int64(len(rel.image))-2*patchFrame {
		t.Errorf("%+v; asked for %v of the artifact", res, s.asked)
	}
}

// An install that began with the patch goes on without it, and the other way round, and keeps what is done.
func TestPatchComesAndGoes(t *testing.T) {
	rel := testPatched(t)
	for _, first := range []bool{true, false} {
		for stop := 4; stop < 13; stop += 3 {
			path, journal := shmSlot(t, 2<<20), fastDir(t)
			d := openTestSlot(t, path, SlotOptions{})
			var s *memorySource
			run := func(patch bool, stop int) (Result, error) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				s = &memorySource{release: rel}
				p := patchPlan(t, s, d, journal, nothing)
				if !patch {
					p.Base = nil
				}
				p.Progress = func(Progress) {
					if stop--; stop == 0 {
						cancel(errLine)
					}
				}
				return Run(ctx, p)
			}
			if _, err := run(first, stop); !errors.Is(err, errLine) {
				t.Fatal(err)
			}
			kept := journaled(t, journal)
			res, err := run(!first, 0)
			must(t, err)
			checkSlot(t, path, rel.image)
			if res.Skipped < int64(kept-1)*testFrame || res.Skipped == 0 {
				t.Errorf("patch first %v, stopped at %d: %d frames were durable, %+v", first, stop, kept, res)
			}
			if first == (len(s.asked) == 0) {
				t.Errorf("patch first %v: asked for %v of the artifact", first, s.asked)
			}
		}
	}
}
