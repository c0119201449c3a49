package bundle_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
)

// patched is a manifest of the bundle's release with a patch from the published one, which the bundle carries.
func (w *world) patched() *firmware.Manifest {
	w.t.Helper()
	m := w.manifest()
	repotest.PutPatch(w.t, w.dir, m, repotest.Image("one", 300_000), repotest.Image("two", 300_000))
	return m
}

func TestPatchIsPlanned(t *testing.T) {
	w := newWorld(t)
	m := w.patched()
	w.rerelease(m)
	plan, err := w.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Blobs) != 2 || plan.Blobs[1].Blob != m.Patches[0].Blob {
		t.Errorf("blobs %+v, want the artifact and the patch", plan.Blobs)
	}
	// A patch that lies in the repository already need not travel.
	name := bundle.BlobName(m.Patches[0].SHA256)
	repotest.Put(t, w.repo, name, w.read(w.dir, name))
	w.remove(name)
	if plan, err = w.check(); err != nil || len(plan.Inherited) != 1 || plan.Inherited[0].Name != name {
		t.Errorf("plan %+v, error %v", plan, err)
	}
}

func TestBadPatches(t *testing.T) {
	good := newWorld(t)
	random := make([]byte, 100_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 1)); i < len(random); i++ {
		random[i] = byte(r.Uint32())
	}
	for _, tc := range []struct {
		name, say string
		make      func(w *world, m *firmware.Manifest)
	}{
		{"missing", "the blob is missing", func(w *world, m *firmware.Manifest) {
			w.remove(bundle.BlobName(m.Patches[0].SHA256))
			w.rerelease(m)
		}},
		{"cut short", "its manifest says", func(w *world, m *firmware.Manifest) {
			name := bundle.BlobName(m.Patches[0].SHA256)
			repotest.Put(w.t, w.dir, name, w.read(w.dir, name)[:m.Patches[0].Length-1])
			w.rerelease(m)
		}},
		{"altered at its end", "the blob was altered", func(w *world, m *firmware.Manifest) {
			name := bundle.BlobName(m.Patches[0].SHA256)
			raw := w.read(w.dir, name)
			raw[len(raw)-1] ^= 1
			repotest.Put(w.t, w.dir, name, raw)
			w.rerelease(m)
		}},
		{"another base than the manifest says", "the patch's head is for a base of 300000 bytes", func(w *world, m *firmware.Manifest) {
			m.Patches[0].From.SHA256 = firmware.Sum([]byte("another"))
			w.rerelease(m)
		}},
		{"a base of another length", "its manifest says 299999 with", func(w *world, m *firmware.Manifest) {
			m.Patches[0].From.Length--
			w.rerelease(m)
		}},
		{"of another image", "the patch's head is for an image of 299999 bytes", func(w *world, m *firmware.Manifest) {
			w.remove(bundle.BlobName(m.Patches[0].SHA256))
			m.Patches = nil
			repotest.PutPatch(w.t, w.dir, m, repotest.Image("one", 300_000), repotest.Image("two", 299_999))
			w.rerelease(m)
		}},
		{"with another head", "the head is not what its manifest says", func(w *world, m *firmware.Manifest) {
			m.Patches[0].Head.SHA256 = firmware.Sum([]byte("another"))
			w.rerelease(m)
		}},
		{"with more than its head pinned as one", "the patch's head", func(w *world, m *firmware.Manifest) {
			head := &m.Patches[0].Head
			head.Length++
			head.SHA256 = firmware.Sum(w.read(w.dir, bundle.BlobName(m.Patches[0].SHA256))[:head.Length])
			w.rerelease(m)
		}},
		{"that is an artifact", "the patch's head: patch: not an artifact of a known format", func(w *world, m *firmware.Manifest) {
			w.remove(bundle.BlobName(m.Patches[0].SHA256))
			m.Patches[0].Framed = m.Artifact
			w.rerelease(m)
		}},
		{"that is nothing of the kind", "the patch's head", func(w *world, m *firmware.Manifest) {
			w.remove(bundle.BlobName(m.Patches[0].SHA256))
			raw := bytes.Repeat([]byte("x"), 200)
			repotest.Put(w.t, w.dir, bundle.BlobName(firmware.Sum(raw)), raw)
			m.Patches[0].Framed = firmware.Framed{Blob: firmware.Blob{Length: 200, SHA256: firmware.Sum(raw)},
				Head: firmware.Blob{Length: 100, SHA256: firmware.Sum(raw[:100])}}
			w.rerelease(m)
		}},
		{"larger than the artifact", "and the whole artifact only", func(w *world, _ *firmware.Manifest) {
			if err := os.RemoveAll(w.dir + "/blobs"); err != nil {
				w.t.Fatal(err)
			}
			m := repotest.PutArtifact(w.t, w.dir, repotest.Product, "1.1.0", 6, random)
			repotest.PutPatch(w.t, w.dir, m, repotest.Image("one", 300_000), random)
			w.rerelease(m)
		}},
		{"that no manifest names", "no manifest of the bundle names this blob", func(w *world, m *firmware.Manifest) {
			m.Patches = nil
			w.rerelease(m)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := good.clone(t)
			tc.make(w, w.patched())
			requireProblem(t, w, bundle.Refused, tc.say)
		})
	}
}
