package signer

import (
	"os"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/chunk"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// A manifest may pin chunks that are in order but make something else: nothing but decoding them shows that.
func TestChunksThatMakeAnotherImage(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	o := w.releaseOptions(w.publish(start), start)
	o.Image = w.write("new.img", "new")
	must(NewRelease(t.Context(), o))(t)
	verify := func() (*Verdict, error) { return Verify(t.Context(), VerifyOptions{Path: w.path("out"), Now: start}) }
	w.putChunks(o.Image)
	if v := must(verify())(t); !strings.Contains(strings.Join(v.Proven, "\n"), "the chunks of cam/1.0.0.json make the same image") {
		t.Errorf("proven %q", v.Proven)
	}
	w.putChunks(w.write("other.img", "other"))
	_, err := verify()
	refused(t, err, "the chunks of cam/1.0.0.json do not make the image that its manifest names")
	w.putChunks(w.image("short.img", 5000))
	_, err = verify()
	refused(t, err, "the index of the chunks is for an image of 5000 bytes")
}

// putChunks makes chunks of an image, enters them in the manifest of the bundle "out" in place of the others, and signs that anew.
func (w *world) putChunks(image string) {
	made := w.path("out/blobs/new")
	c := must(chunk.CreateFile(w.t.Context(), image, made, chunk.Options{}))(w.t)
	name := w.path("out/targets/cam/1.0.0.json")
	m := must(firmware.ParseManifest(must(os.ReadFile(name))(w.t)))(w.t)
	check(w.t, os.Remove(w.path("out/"+bundle.BlobName(m.Chunks.SHA256))))
	check(w.t, os.Rename(made, w.path("out/"+bundle.BlobName(c.File.SHA256))))
	m.Chunks = &c.File
	w.putManifest(m)
}

// putManifest puts a manifest in place of the one of the bundle "out", and signs that anew.
func (w *world) putManifest(m *firmware.Manifest) {
	data := must(m.Encode())(w.t)
	check(w.t, os.WriteFile(w.path("out/targets/cam/1.0.0.json"), data, 0o644))
	name := w.path("out/metadata/1.cam.json")
	role := must(parse[metadata.TargetsType](name, must(os.ReadFile(name))(w.t)))(w.t)
	path, entry, err := bundle.Target(data)
	check(w.t, err)
	role.Signed.Targets[path] = entry
	role.ClearSignatures()
	check(w.t, bundle.SignMetadata(role, w.keys["dora"]))
	check(w.t, os.WriteFile(name, must(bundle.Encode(role))(w.t), 0o644))
}
