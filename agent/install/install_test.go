package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

func TestInstall(t *testing.T) {
	noise := testImage(9, 3)
	for _, c := range []struct {
		name  string
		image []byte
	}{
		{"empty", nil},
		{"one byte", []byte{7}},
		{"one frame", bytes.Repeat([]byte{1}, testFrame)},
		{"one frame and a byte", bytes.Repeat([]byte{1}, testFrame+1)},
		{"zeros", make([]byte, 5*testFrame+9)},
		{"zeros at both ends", append(append(make([]byte, 2*testFrame), noise...), make([]byte, testFrame)...)},
		{"everything", testImage(21, 0)},
	} {
		rel := makeRelease(t, c.image)
		for _, kind := range deviceKinds(t) {
			t.Run(c.name+"/"+kind.name, func(t *testing.T) {
				s := &memorySource{release: rel}
				path := kind.make(t, 2<<20)
				d := openTestSlot(t, path, SlotOptions{})
				var last Progress
				p := plan(t, s, d, fastDir(t))
				p.Progress = func(q Progress) { last = q }
				p.Limits.Request = testFrame
				res, err := Run(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				checkSlot(t, path, c.image)
				if got := res.Written + res.Zeroed; got != int64(len(c.image)) || res.Fetched != int64(len(s.artifact)) {
					t.Errorf("result %+v for an image of %d and an artifact of %d bytes", res, len(c.image), len(s.artifact))
				}
				for _, e := range s.asked[1:] {
					if e.Length > p.Limits.Request {
						t.Errorf("%d bytes were asked for at once, want at most %d", e.Length, p.Limits.Request)
					}
				}
				if runs := len(data(s.head)); len(s.asked) > 1+2*runs {
					t.Errorf("%d requests for %d runs of neighbouring frames", len(s.asked), runs)
				}
				if len(c.image) > 0 && (last.Phase != PhaseVerify || last.Done != last.Total || last.Total != int64(len(c.image))) {
					t.Errorf("last progress %+v", last)
				}
				if err := VerifySlot(t.Context(), d, s.manifest.Image, nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Where nothing says otherwise, an install is one request.
func TestOneRequest(t *testing.T) {
	s := &memorySource{release: makeRelease(t, testImage(30, 0))}
	p := plan(t, s, openTestSlot(t, fileSlot(t, 2<<20), SlotOptions{}), fastDir(t))
	p.Limits = Limits{}
	if _, err := Run(t.Context(), p); err != nil || len(s.asked) != 1 {
		t.Errorf("%d requests: %v, %v", len(s.asked), s.asked, err)
	}
}

// data are the runs of frames that are not zeros.
func data(head *firmware.Head) []Extent {
	return extents(head)
}

// An install that is asked for again only reads the slot.
func TestInstallAgainWritesNothing(t *testing.T) {
	s := &memorySource{release: makeRelease(t, testImage(9, 0))}
	journal, path := t.TempDir(), fileSlot(t, 1<<20)
	d := &countingDevice{Device: openTestSlot(t, path, SlotOptions{})}
	if _, err := Run(t.Context(), plan(t, s, d, journal)); err != nil {
		t.Fatal(err)
	}
	before := d.writes.Load()
	res, err := Run(t.Context(), plan(t, s, d, journal))
	if err != nil {
		t.Fatal(err)
	}
	if d.writes.Load() != before || res.Written != 0 || res.Skipped != int64(len(s.image)) || res.Fetched != 0 {
		t.Errorf("%d writes, result %+v", d.writes.Load()-before, res)
	}
}

// countingDevice counts calls, and the bytes that were read and written.
type countingDevice struct {
	Device
	writes, written, read, syncs atomic.Int64
}

func (d *countingDevice) Sync() error {
	d.syncs.Add(1)
	return d.Device.Sync()
}

func (d *countingDevice) WriteAt(p []byte, off int64) (int, error) {
	d.writes.Add(1)
	d.written.Add(int64(len(p)))
	return d.Device.WriteAt(p, off)
}

func (d *countingDevice) ReadAt(p []byte, off int64) (int, error) {
	d.read.Add(int64(len(p)))
	return d.Device.ReadAt(p, off)
}

func (d *countingDevice) Zero(off, n int64) error {
	d.writes.Add(1)
	return d.Device.Zero(off, n)
}

// What a journal says holds for its artifact and its slot only.
func TestJournalIsBound(t *testing.T) {
	one, two := makeRelease(t, testImage(9, 0)), makeRelease(t, testImage(9, 1))
	for _, c := range []struct {
		name    string
		release release
		slot    string
		spoil   func(t *testing.T, journal string)
	}{
		{name: "other artifact", release: two, slot: "b"},
		{name: "other slot", release: one, slot: "a"},
		{name: "unreadable", release: one, slot: "b", spoil: func(t *testing.T, journal string) {
			for _, g := range []string{"install.0", "install.1"} {
				if err := os.WriteFile(filepath.Join(journal, g), []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			journal := t.TempDir()
			first := openTestSlot(t, fileSlot(t, 1<<20), SlotOptions{})
			if _, err := Run(t.Context(), plan(t, &memorySource{release: one}, first, journal)); err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				c.spoil(t, journal)
			}
			path := fileSlot(t, 1<<20)
			p := plan(t, &memorySource{release: c.release}, openTestSlot(t, path, SlotOptions{}), journal)
			p.Slot = c.slot
			res, err := Run(t.Context(), p)
			if err != nil || res.Skipped != 0 || res.Healed != 0 {
				t.Fatalf("%+v, %v", res, err)
			}
			checkSlot(t, path, c.release.image)
		})
	}
}

func TestJournalOfAnotherSchemaIsNone(t *testing.T) {
	m := makeRelease(t, testImage(3, 0)).manifest
	j := journal{dir: t.TempDir()}
	length := m.Image.Length
	if _, resumed, err := j.bind(newRecord("b", m), length); resumed || err != nil {
		t.Fatal(resumed, err)
	}
	for _, spoil := range []func(r *record){
		func(r *record) { r.Schema = 1 },
		func(r *record) { r.Durable = ranges{{-1, 2}} },
		func(r *record) { r.Durable = ranges{{0, 0}} },
		func(r *record) { r.Durable = ranges{{0, length + 1}} },
		func(r *record) { r.Durable = ranges{{1, math.MaxInt64}} },
		func(r *record) { r.Durable = ranges{{5, 1}, {0, 1}} },
		func(r *record) { r.Durable = ranges{{0, 2}, {2, 1}} },
		func(r *record) { r.Artifact = firmware.Sum([]byte("other")) },
		func(r *record) { r.Image = firmware.Sum([]byte("other")) },
	} {
		j.now = newRecord("b", m)
		spoil(&j.now)
		if err := j.save(); err != nil {
			t.Fatal(err)
		}
		kept, resumed, err := j.bind(newRecord("b", m), length)
		if kept != nil || resumed || err != nil {
			t.Errorf("bound to %v, %v, %v", kept, resumed, err)
		}
	}
}

// Whatever is refused is refused before a byte of the slot changes.
func TestRefusedBeforeWriting(t *testing.T) {
	good := makeRelease(t, testImage(9, 0))
	for _, c := range []struct {
		name  string
		want  error
		class string
		edit  func(p *Plan, s *memorySource)
	}{
		{"slot too small", ErrTooSmall, "slot_too_small", func(p *Plan, s *memorySource) {
			s.release = makeRelease(t, make([]byte, 1<<20+1))
			p.Manifest = s.manifest
		}},
		{"journal cannot be written", ErrIO, "io", func(p *Plan, s *memorySource) {
			p.Journal = filepath.Join(p.Journal, "file")
			if err := os.WriteFile(p.Journal, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no such blob", ErrUnavailable, "unavailable", func(p *Plan, s *memorySource) { p.Manifest.Artifact.SHA256[0]++ }},
		{"head of another artifact", ErrCorrupt, "corrupt", func(p *Plan, s *memorySource) { p.Manifest.Artifact.Head.SHA256[0]++ }},
		{"head longer than allowed", ErrCorrupt, "corrupt", func(p *Plan, s *memorySource) { p.Manifest.Artifact.Head.Length = firmware.MaxHead + 1 }},
		{"other image length", ErrCorrupt, "corrupt", func(p *Plan, s *memorySource) { p.Manifest.Image.Length++ }},
		{"other artifact length", ErrCorrupt, "corrupt", func(p *Plan, s *memorySource) { p.Manifest.Artifact.Length++ }},
		{"head that is none", ErrCorrupt, "corrupt", func(p *Plan, s *memorySource) {
			junk := bytes.Repeat([]byte("x"), 100)
			s.artifact = junk
			p.Manifest.Artifact.Head = firmware.Blob{Length: 100, SHA256: firmware.Sum(junk)}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := *good.manifest
			s := &memorySource{release: good}
			path := fileSlot(t, 1<<20)
			p := plan(t, s, openTestSlot(t, path, SlotOptions{}), t.TempDir())
			p.Manifest = &m
			c.edit(&p, s)
			_, err := Run(t.Context(), p)
			if !errors.Is(err, c.want) || Class(err) != c.class {
				t.Fatalf("got %v (%s), want %v (%s)", err, Class(err), c.want, c.class)
			}
			checkSlot(t, path, nil)
		})
	}
}

// A context that ends at any moment leaves what the next Run can go on with.
func TestCancelAnywhere(t *testing.T) {
	rel := makeRelease(t, testImage(13, 0))
	for stop := range 40 {
		ctx, cancel := context.WithCancelCause(t.Context())
		journal, path := fastDir(t), shmSlot(t, 1<<20)
		d := openTestSlot(t, path, SlotOptions{})
		p := plan(t, &memorySource{release: rel}, d, journal)
		p.Limits.Workers = 1 // frames are written in their order
		cause, calls, written := errors.New("shutting down"), 0, 0
		p.Progress = func(q Progress) {
			if calls++; calls == stop {
				written = int(q.Done / testFrame)
				cancel(cause)
			}
		}
		if stop == 0 {
			cancel(cause)
		}
		_, err := Run(ctx, p)
		cancel(nil)
		if err != nil && (!errors.Is(err, cause) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrIO)) {
			t.Fatalf("stop %d: %v", stop, err)
		}
		s := &memorySource{release: rel}
		kept := journaled(t, journal)
		if kept < written {
			t.Fatalf("stop %d: %d frames were written, the journal knows of %d", stop, written, kept)
		}
		p = plan(t, s, d, journal)
		if _, err := Run(t.Context(), p); err != nil {
			t.Fatalf("stop %d: resuming: %v", stop, err)
		}
		for _, i := range s.framesAsked() {
			if i < kept {
				t.Fatalf("stop %d: frame %d was fetched again, %d were durable", stop, i, kept)
			}
		}
		checkSlot(t, path, rel.image)
		if err == nil {
			return // it came to its end before it was stopped
		}
	}
	t.Fatal("the install never came to its end")
}

func TestVerifySlot(t *testing.T) {
	image := testImage(5, 0)
	m := makeRelease(t, image).manifest
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
		text  string
	}{
		{"the image", image, nil, ""},
		{"the image and more", append(bytes.Clone(image), 1, 2, 3), nil, ""},
		{"one bit differs", flipped(image, len(image)-1), ErrCorrupt, "does not hold the image"},
		{"cut off", image[:len(image)-1], ErrCorrupt, fmt.Sprintf("ends at byte %d", len(image)-1)},
		{"cut off at a page", image[:8192], ErrCorrupt, "ends at byte 8192"},
		{"nothing", nil, ErrCorrupt, "ends at byte 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "slot")
			if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			d := openTestSlot(t, path, SlotOptions{ReadOnly: true})
			err := VerifySlot(t.Context(), d, m.Image, nil)
			if !errors.Is(err, c.want) || c.want != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.text)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := VerifySlot(ctx, d, m.Image, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x10
	return b
}

// The buffers are the memory of an install; these are their bounds.
func TestBuffersAreBounded(t *testing.T) {
	for size := int64(firmware.MinFrameSize); size <= firmware.MaxFrameSize; size *= 2 {
		image := make([]byte, 1)
		s := &memorySource{release: makeRelease(t, image)}
		r, err := newRun(Plan{Manifest: s.manifest, Source: s, Target: &slot{}, Slot: "b", Journal: "j"})
		if err != nil {
			t.Fatal(err)
		}
		head := bytes.Clone(s.artifact[:32])
		for head[11] = 16; 1<<head[11] < size; head[11]++ {
		}
		h, err := firmware.ParseHead(append(head, s.artifact[32:s.manifest.Artifact.Head.Length]...))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.allocate(&carrier{head: h}); err != nil {
			t.Fatal(err)
		}
		total := int64(len(r.stored.memory) + len(r.images.memory))
		if limit := max(20<<20, 2*size+compareChunk); total > limit || r.workers < 2 {
			t.Errorf("frames of %d: %d bytes of buffers for %d workers, at most %d are promised", size, total, r.workers, limit)
		}
		r.close()
	}
}

func TestPlanMustBeComplete(t *testing.T) {
	if _, err := Run(t.Context(), Plan{}); err == nil || !strings.Contains(err.Error(), "needed") {
		t.Error(err)
	}
}
