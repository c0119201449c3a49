package signer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// write writes an image of the world: text that begins with tag, as long as every other.
func (w *world) write(name, tag string) string {
	image := bytes.Repeat([]byte("fairlead guides a line. "), 10_000)
	copy(image, tag)
	check(w.t, os.WriteFile(w.path(name), image, 0o644))
	return w.path(name)
}

// putPatch makes a patch, enters it in the manifest of the bundle "out" in place of all others, and signs that anew.
func (w *world) putPatch(old, image string) {
	made := w.path("out/blobs/new")
	c := must(delta.CreateFile(context.Background(), old, image, made, delta.Options{}))(w.t)
	check(w.t, os.Rename(made, w.path("out/"+bundle.BlobName(c.Patch.SHA256))))
	name := w.path("out/targets/cam/1.0.0.json")
	m := must(firmware.ParseManifest(must(os.ReadFile(name))(w.t)))(w.t)
	m.Patches = []firmware.Patch{c.Patch}
	w.putManifest(m)
}

// A manifest may pin a patch that is in order but makes something else: nothing but decoding it shows that.
func TestPatchThatMakesAnotherImage(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	o := w.releaseOptions(w.publish(start), start)
	old, other := w.write("old.img", "old"), w.write("other.img", "other")
	o.Image = w.write("new.img", "new")
	must(NewRelease(t.Context(), o))(t)
	verify := func() (*Verdict, error) {
		return Verify(t.Context(), VerifyOptions{Path: w.path("out"), From: []string{old}, Now: start})
	}
	w.putPatch(old, o.Image)
	v := must(verify())(t)
	if !strings.Contains(strings.Join(v.Proven, "\n"), "the patch of cam/1.0.0.json from "+old+" makes the same image") {
		t.Errorf("proven %q", v.Proven)
	}
	check(t, os.Remove(w.patchOf("out")))
	w.putPatch(old, other)
	_, err := verify()
	refused(t, err, "the patch of cam/1.0.0.json from "+old+" does not make the image that its manifest names")
}

// patchOf is the one patch of a bundle.
func (w *world) patchOf(dir string) string {
	for _, path := range must(filepath.Glob(w.path(dir + "/blobs/*")))(w.t) {
		if kind, err := Recognise(path); err == nil && kind == KindPatch {
			return path
		}
	}
	w.t.Fatal("no patch")
	return ""
}

func TestUnpackedImageIsTheManifests(t *testing.T) {
	w := newWorld(t)
	image, blob := w.write("image", "the image"), w.path("blob")
	e := must(firmware.EncodeFile(t.Context(), image, blob, firmware.EncodeOptions{}))(t)
	f := must(unpackBlob(t.Context(), blob, e.Artifact, e.Image, w.dir, nil))(t)
	defer f.Close()
	if !bytes.Equal(must(os.ReadFile(pathOf(f)))(t), must(os.ReadFile(image))(t)) {
		t.Error("another image came out")
	}
	otherImage, otherFile := e.Image, e.Artifact
	otherImage.SHA256, otherFile.SHA256 = firmware.Sum(nil), firmware.Sum(nil)
	_, err := unpackBlob(t.Context(), blob, e.Artifact, otherImage, w.dir, nil)
	refused(t, err, "does not unpack to the image that its manifest names")
	_, err = unpackBlob(t.Context(), blob, otherFile, e.Image, w.dir, nil)
	refused(t, err, "does not unpack to the image that its manifest names")
	w.clean()
}

func TestInterruptedPatchLeavesNothing(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	o := w.releaseOptions(base, start)
	o.Image = w.write("new.img", "new")
	o.PatchFrom = []PatchFrom{{Version: "0.1.0", Image: w.write("old.img", "old")}}
	for _, what := range []string{"reading " + o.PatchFrom[0].Image, "building the artifact", "making the patch from 0.1.0"} {
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(now string, _, _ int64) {
			if now == what {
				cancel()
			}
		}
		if _, err := NewRelease(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got error %v, want that of the context", what, err)
		}
		w.clean()
	}
}

func TestPatchRefusals(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 3, 7)
	old := w.write("old.img", "old")
	for name, c := range map[string]struct {
		from    []PatchFrom
		patches int
		why     string
	}{
		"no such release":   {[]PatchFrom{{Version: "9"}}, 0, `cam has no release "9" to make a patch from`},
		"named twice":       {[]PatchFrom{{"0.3.0", old}, {"0.3.0", old}}, 0, `cam has no release "0.3.0"`},
		"no manifest":       {[]PatchFrom{{Version: "0.3.0"}}, 0, "give its image: --patch-from 0.3.0=IMAGE"},
		"too many patches":  {nil, MaxPatches + 1, "65 patches are too many"},
		"too many together": {[]PatchFrom{{"0.3.0", old}}, MaxPatches, "65 patches are too many"},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.releaseOptions(base, start)
			o.PatchFrom, o.Patches = c.from, c.patches
			_, err := NewRelease(t.Context(), o)
			refused(t, err, c.why)
			w.clean()
		})
	}
}
