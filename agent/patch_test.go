package agent_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
)

// released publishes an image with a patch from another.
func released(site *agenttest.Site, version string, counter int64, from, to []byte) agenttest.Artifact {
	p := agenttest.MakePatch(from, to)
	site.Serve(p)
	a := agenttest.Encode(to)
	site.Release(version, counter, a, func(m *firmware.Manifest) { m.Patches = []firmware.Patch{p.Patch} })
	return a
}

// after is an image with some bytes changed.
func after(img []byte) []byte {
	img = bytes.Clone(img)
	for at := 1000; at < 150_000; at += 30_000 {
		copy(img[at:], "another line")
	}
	return img
}

// TestPatchedUpdates: a device takes patches, from the image that it was delivered with, from one that an update brought,
// and from one that somebody has written to since.
func TestPatchedUpdates(t *testing.T) {
	site := newSite(t)
	first := after(image(1))
	second := after(append(bytes.Clone(first[30_000:]), first[:30_000]...))
	released(site, "1.1.0", 2, image(1), first)
	whole := released(site, "1.2.0", 3, first, second)
	third := image(1)
	released(site, "1.3.0", 4, second, third)
	u := newUnit(t, site)
	u.enroll()

	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantRunning(boot.B, "1.1.0", first)
	if end.Patched == 0 || end.Fetched > 5_000 {
		t.Errorf("from the factory's image: %+v", end)
	}
	end = u.untilEnd(site.Direct(u.id, "1.2.0", nil))
	u.wantRunning(boot.A, "1.2.0", second)
	if end.Patched == 0 || end.Fetched > 5_000 {
		t.Errorf("from an update's image: %+v", end)
	}
	mounted := bytes.Clone(second)
	copy(mounted[70_000:], "mounted read-write")
	write(t, u.cfg.Slots.A, mounted)
	end = u.untilEnd(site.Direct(u.id, "1.3.0", nil))
	u.wantRunning(boot.B, "1.3.0", third)
	if end.Patched == 0 || end.Fetched < 5_000 || end.Fetched > whole.Artifact.Length/2+5_000 || end.Unchanged+end.Written+end.Zeroed != int64(len(third)) {
		t.Errorf("from an image that was written to: %+v; an artifact has %d bytes", end, whole.Artifact.Length)
	}
	if s := u.status(); s.Took.Patched != end.Patched || s.Took.Unchanged != end.Unchanged {
		t.Errorf("status %+v", s.Took)
	}
}

// TestPatchFromElsewhere: a patch from an image that the device does not have, or a slot that cannot be read, costs nothing.
func TestPatchFromElsewhere(t *testing.T) {
	for name, spoil := range map[string]func(u *unit){
		"another image": func(u *unit) { write(t, u.cfg.Slots.A, image(5)) },
		"a short one":   func(u *unit) { write(t, u.cfg.Slots.A, image(1)[:100]) },
		"none":          func(u *unit) { must(t, os.Remove(u.cfg.Slots.A)) },
	} {
		t.Run(name, func(t *testing.T) {
			site := newSite(t)
			released(site, "1.1.0", 2, image(1), after(image(1)))
			u := newUnit(t, site)
			u.enroll()
			spoil(u)
			end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
			u.wantRunning(boot.B, "1.1.0", after(image(1)))
			if end.Patched != 0 || end.Reason != "" {
				t.Errorf("%+v", end)
			}
		})
	}
}

// TestFactoryImage: a device that was told its factory's image does not read the slot to find out, and patches what is left of it.
func TestFactoryImage(t *testing.T) {
	site := newSite(t)
	whole := released(site, "1.1.0", 2, image(1), after(image(1)))
	u := newUnit(t, site)
	u.cfg.Factory.Image = firmware.Blob{Length: int64(len(image(1))), SHA256: firmware.Sum(image(1))}
	u.enroll()
	mounted := image(1)
	copy(mounted[70_000:], "mounted read-write")
	write(t, u.cfg.Slots.A, mounted)
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	u.wantRunning(boot.B, "1.1.0", after(image(1)))
	if end.Patched == 0 || end.Fetched > whole.Artifact.Length/2+5_000 {
		t.Errorf("%+v; an artifact has %d bytes", end, whole.Artifact.Length)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRate: images are fetched no faster than the configuration allows.
func TestRate(t *testing.T) {
	site := newSite(t)
	site.Release("1.1.0", 2, artifact(2), nil)
	u := newUnit(t, site)
	u.cfg.Rate = 200_000
	u.enroll()
	end := u.untilEnd(site.Direct(u.id, "1.1.0", nil))
	if least := end.Fetched * 1000 / u.cfg.Rate * 9 / 10; end.Millis < least || end.Fetched < 50_000 {
		t.Errorf("%d bytes in %d ms, want at least %d", end.Fetched, end.Millis, least)
	}
}

// TestPause: a paused agent asks for an image and takes nothing of it, until it is told to go on.
func TestPause(t *testing.T) {
	site := newSite(t)
	site.Release("1.1.0", 2, artifact(2), nil)
	u := newUnit(t, site)
	u.enroll()
	site.Direct(u.id, "1.1.0", nil)
	asked := make(chan bool, 100)
	site.Spoil(func(_ string, b []byte) []byte { asked <- true; return b })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	a := u.agent()
	a.Pause()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	select {
	case <-asked:
	case err := <-ended:
		t.Fatalf("it ended before it asked: %v; %v", err, u.events())
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended: %v; %v", err, u.events())
	case <-time.After(200 * time.Millisecond): // much longer than it takes unless it is held back
	}
	if s := u.status(); s.State != wire.Downloading {
		t.Errorf("it is %s", s.State)
	}
	a.Resume()
	if err := <-ended; !errors.Is(err, agent.ErrReboot) {
		t.Error(err)
	}
}
