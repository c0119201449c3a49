package install

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// Whatever mix of accidents happens, a Run that returns nil has put the image into the slot, no byte beyond it was
// touched, and a Run without accidents comes to its end.
func TestInstallAmongAccidents(t *testing.T) {
	releases := []release{makeRelease(t, testImage(7, 0)), makeRelease(t, testImage(7, 1)), makeRelease(t, testImage(3, 2)),
		patchedRelease(t, testImage(7, 2), testImage(7, 0))}
	if err := flag.Set("rapid.checks", "40"); err != nil { // each is up to five installs
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		path, journal := shmSlot(t, 10*testFrame), fastDir(t)
		d := openTestSlot(t, path, SlotOptions{})
		defer d.Close()
		for range rapid.IntRange(1, 4).Draw(rt, "runs") {
			rel := rapid.SampledFrom(releases).Draw(rt, "release")
			faulty := &faultyDevice{Device: d}
			s := &memorySource{release: rel}
			accidents(rt, faulty, s)
			p := plan(t, s, faulty, journal)
			if rel.base != nil {
				p.Base, p.BaseImage = bytes.NewReader(rel.base), rel.manifest.Patches[0].From
				if at := rapid.IntRange(-1, len(rel.base)-1).Draw(rt, "base flips"); at >= 0 {
					p.Base = bytes.NewReader(flipped(rel.base, at))
				}
			}
			if _, err := Run(t.Context(), p); err == nil {
				checkFront(rt, path, rel.image)
			} else if Class(err) == "io" && !errors.Is(err, ErrIO) {
				rt.Fatalf("an error without a class: %v", err)
			}
		}
		rel := rapid.SampledFrom(releases).Draw(rt, "last release")
		if _, err := Run(t.Context(), plan(t, &memorySource{release: rel}, d, journal)); err != nil {
			rt.Fatal(err)
		}
		checkFront(rt, path, rel.image)
	})
}

func checkFront(rt *rapid.T, path string, image []byte) {
	d, err := OpenSlot(path, SlotOptions{ReadOnly: true})
	if err != nil {
		rt.Fatal(err)
	}
	defer d.Close()
	got := make([]byte, 10*testFrame)
	if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got[:len(image)], image) {
		rt.Fatalf("the slot does not hold the image; %v", err)
	}
	if beyond := got[7*testFrame:]; bytes.Count(beyond, []byte{0xA5}) != len(beyond) {
		rt.Fatal("a byte beyond every image was changed")
	}
}

// accidents draws what goes wrong in one run.
func accidents(rt *rapid.T, d *faultyDevice, s *memorySource) {
	call := rapid.IntRange(-1, 8)
	writeFails, writeLost, writeFlips := call.Draw(rt, "write fails"), call.Draw(rt, "write is lost"), call.Draw(rt, "write flips")
	syncFails, readFails := call.Draw(rt, "sync fails"), call.Draw(rt, "read fails")
	breaks, lies := call.Draw(rt, "request breaks"), call.Draw(rt, "request lies")
	d.write = func(n int, p []byte, off int64) (int, error, bool) {
		switch n {
		case writeFails:
			return 0, errLine, true
		case writeLost:
			return len(p), nil, true
		case writeFlips:
			n, err := d.Device.WriteAt(flipped(p, n*997), off)
			return n, err, true
		}
		return 0, nil, false
	}
	d.sync = func(n int) (error, bool) { return errLine, n == syncFails }
	d.read = func(n int, _ []byte, _ int64) (int, error, bool) { return 0, errLine, n == readFails }
	open := func(file []byte) func(n int, offset, length int64) (io.ReadCloser, error) {
		return func(n int, offset, length int64) (io.ReadCloser, error) {
			part := file[offset : offset+length]
			switch n {
			case breaks:
				return brokenReader(bytes.NewReader(part), length/2), nil
			case lies:
				return io.NopCloser(bytes.NewReader(flipped(part, int(length/2)))), nil
			}
			return nil, nil
		}
	}
	s.open, s.openPatch = open(s.artifact), open(s.patch)
}
