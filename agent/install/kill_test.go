package install

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/firmware"
)

// victimEnv makes the test program an agent that kills itself in the middle of an install.
const victimEnv = "FAIRLEAD_INSTALL_VICTIM"

// victimOrder is what the victim is told.
type victimOrder struct {
	Artifact, Slot, Journal string
	Patch, Base             string // "" for none
	Manifest                *firmware.Manifest
	Die                     int  // the operation of the slot at which to die, from 0
	Half                    bool // die half way through it
}

// victim runs an install and dies as ordered; exit code 0 says that it came to the end instead.
func victim() {
	var o victimOrder
	if err := json.Unmarshal([]byte(os.Getenv(victimEnv)), &o); err != nil {
		panic(err)
	}
	artifact, err := os.ReadFile(o.Artifact)
	if err != nil {
		panic(err)
	}
	d, err := OpenSlot(o.Slot, SlotOptions{})
	if err != nil {
		panic(err)
	}
	defer d.Close()
	s := &memorySource{release: release{artifact: artifact, manifest: o.Manifest}}
	p := plan(nil, s, &mortalDevice{Device: d, order: o}, o.Journal)
	if o.Patch != "" {
		if s.patch, err = os.ReadFile(o.Patch); err != nil {
			panic(err)
		}
		if s.base, err = os.ReadFile(o.Base); err != nil {
			panic(err)
		}
		p = patchPlan(nil, s, p.Target, o.Journal, nothing)
	}
	if _, err := Run(context.Background(), p); err != nil {
		panic(err)
	}
}

// mortalDevice kills its process at one of its operations.
type mortalDevice struct {
	Device
	order victimOrder
	ops   atomic.Int64
}

func (d *mortalDevice) op(half func()) {
	if d.ops.Add(1)-1 == int64(d.order.Die) {
		if d.order.Half {
			half()
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d *mortalDevice) WriteAt(p []byte, off int64) (int, error) {
	d.op(func() { _, _ = d.Device.WriteAt(p[:len(p)/2], off) })
	return d.Device.WriteAt(p, off)
}

func (d *mortalDevice) Zero(off, n int64) error {
	d.op(func() { _ = d.Device.Zero(off, n/2) })
	return d.Device.Zero(off, n)
}

func (d *mortalDevice) Sync() error {
	d.op(func() { _ = d.Device.Sync() })
	return d.Device.Sync()
}

// The agent is killed at each of its operations on the slot, before it and half way through it. The next agent fetches
// nothing that is durable, nor what is right in the slot.
func TestKilledAtEveryFrame(t *testing.T) {
	rel := makeRelease(t, testImage(14, 0))
	artifact := writeFile(t, rel.artifact)
	deaths, kept := 0, 0
	for die := 0; ; die++ {
		o := victimOrder{
			Artifact: artifact, Slot: fileSlot(t, 1<<20), Journal: fastDir(t), Manifest: rel.manifest,
			Die: die / 2, Half: die%2 == 1,
		}
		if !killVictim(t, o) {
			break
		}
		deaths++
		kept += resumeAfterDeath(t, rel, o)
	}
	if deaths < 2*14 || kept == 0 {
		t.Errorf("the victim died %d times, and %d frames were kept in all: the test is blind", deaths, kept)
	}
}

// The same with a patch, of which the next agent may have the base no more.
func TestKilledWhilePatching(t *testing.T) {
	rel := testPatched(t)
	artifact, patch, base := writeFile(t, rel.artifact), writeFile(t, rel.patch), writeFile(t, rel.base)
	deaths, kept := 0, int64(0)
	for die := 1; ; die += 3 {
		o := victimOrder{
			Artifact: artifact, Patch: patch, Base: base, Slot: shmSlot(t, 2<<20), Journal: fastDir(t), Manifest: rel.manifest,
			Die: die / 2, Half: die%2 == 1,
		}
		if !killVictim(t, o) {
			break
		}
		deaths++
		d := openTestSlot(t, o.Slot, SlotOptions{})
		p := patchPlan(t, &memorySource{release: rel}, d, o.Journal, nothing)
		if die%2 == 1 {
			p.Base = nil
		}
		res, err := Run(t.Context(), p)
		if err != nil || res.Healed != 0 {
			t.Fatalf("after death %d: %+v, %v", die, res, err)
		}
		checkSlot(t, o.Slot, rel.image)
		d.Close()
		kept += res.Skipped
	}
	if deaths < 10 || kept == 0 {
		t.Errorf("the victim died %d times, and %d bytes were kept in all: the test is blind", deaths, kept)
	}
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "file")
	must(t, err)
	_, err = f.Write(b)
	must(t, errors.Join(err, f.Close()))
	return f.Name()
}

// killVictim reports whether the victim died of what was ordered.
func killVictim(t *testing.T, o victimOrder) bool {
	t.Helper()
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+string(order))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("victim: %v: %s", err, out)
	}
	return true
}

// resumeAfterDeath installs again and returns how many frames the dead agent's journal had saved.
func resumeAfterDeath(t *testing.T, rel release, o victimOrder) int {
	t.Helper()
	kept := max(journaled(t, o.Journal), 0)
	inSlot := framesInSlot(t, o.Slot, rel)
	s := &memorySource{release: rel}
	d := openTestSlot(t, o.Slot, SlotOptions{})
	res, err := Run(t.Context(), plan(t, s, d, o.Journal))
	if err != nil {
		t.Fatalf("after death %d: %v", o.Die, err)
	}
	checkSlot(t, o.Slot, rel.image)
	d.Close()
	for _, i := range s.framesAsked() {
		if i < kept || slices.Contains(inSlot, i) {
			t.Errorf("after death %d: frame %d was fetched again; %d were durable, %v were right", o.Die, i, kept, inSlot)
		}
	}
	if res.Healed != 0 {
		t.Errorf("after death %d: %d frames were healed", o.Die, res.Healed)
	}
	return kept
}

// framesInSlot lists the stored frames that are right in the slot already.
func framesInSlot(t *testing.T, path string, rel release) []int {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var frames []int
	for i := range rel.head.Len() {
		if f := rel.head.Frame(i); f.Kind != firmware.FrameZero && firmware.Sum(got[f.At:f.At+f.Length]) == f.ImageSHA256 {
			frames = append(frames, i)
		}
	}
	return frames
}
