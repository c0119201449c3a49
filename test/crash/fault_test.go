package crash

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/firmware/durable"
)

// faults are what an operation may do in place of its work. errKilled ends everything after it, as SIGKILL does.
var faults = map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "EROFS": syscall.EROFS, "short write": errShort, "killed": errKilled}

var errKilled = errors.New("killed (test)")

// nth lets the nth operation fail, and fired say that it did.
func nth(n int, with error, fired *string) func(what, name string) error {
	i := 0
	return func(what, name string) error {
		if errors.Is(with, errKilled) && *fired != "" {
			return errKilled
		}
		if errors.Is(with, errShort) && !strings.HasPrefix(what, "write") {
			return nil
		}
		if i++; i != n {
			return nil
		}
		*fired = what + " " + name
		return with
	}
}

// TestEveryOperationFailsOnce lets each operation of an update fail, one at a time, in each way; then nothing fails any more.
// The device must be whole at once, come to rest, and come to the newest release.
func TestEveryOperationFailsOnce(t *testing.T) {
	w := newWorld(t)
	b := &builder{world: w, t: t}
	begin := b.after(b.delivered(), w.older)
	operations := map[string]bool{}
	runs, start := 0, time.Now()
	for name, with := range faults {
		for n := 1; ; n += step() {
			d := w.device(w.newer)
			l := d.life(begin, "first, boot ")
			if err := l.settle(); err != nil {
				t.Fatal(err)
			}
			fired := ""
			l.disk.fault = nth(n, with, &fired)
			err := l.update()
			if fired == "" {
				break
			}
			runs++
			what, _, _ := strings.Cut(fired, "/")
			operations[what] = true
			if l.broken != nil {
				t.Fatalf("%s at operation %d, %s: %v", name, n, fired, l.broken)
			}
			if err != nil && !errors.Is(with, errKilled) && !errors.Is(err, agent.ErrReboot) && len(err.Error()) < 10 {
				t.Errorf("%s at operation %d, %s: the error says nothing: %v", name, n, fired, err)
			}
			l.disk.fault = nil
			after := d.life(l.disk.Now(), "after, boot ")
			if err := errors.Join(d.check(after.disk.Now(), nil), after.settle(), after.arrive()); err != nil {
				t.Fatalf("%s at operation %d, %s: %v", name, n, fired, err)
			}
		}
	}
	t.Logf("faults: %d operations × ways to fail, 100%% survived, in %v", runs, time.Since(start).Round(time.Second))
	if !raced && (runs < 100/step() || len(operations) < 8) {
		t.Errorf("%d faults of %d kinds of operations fired: the test is blind", runs, len(operations))
	}
}

// step leaves operations out where there is little time.
func step() int {
	if raced {
		return 300
	}
	return faultStep
}

// TestClocks: a device whose clock stands wrong, or jumps, is not bricked, and goes on when it is right.
func TestClocks(t *testing.T) {
	w := newWorld(t)
	b := &builder{world: w, t: t}
	for name, at := range map[string]time.Time{"1970": time.Unix(0, 0), "2069": time.Date(2069, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for _, base := range []*Medium{b.delivered(), b.after(b.delivered(), w.older)} {
			d := w.device(w.newer)
			d.Clock = func() time.Time { return at }
			l := d.life(base, "wrong, boot ")
			if err := l.settle(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := l.update(); name == "2069" && err == nil {
				t.Errorf("%s: expired metadata was taken", name)
			} else if name == "2069" && !strings.Contains(err.Error(), "clock") && !strings.Contains(err.Error(), "expired") {
				t.Errorf("%s: the error does not say that it is the time: %v", name, err)
			}
			right := w.device(w.newer).life(l.disk.Now(), "right, boot ")
			if err := errors.Join(right.settle(), right.arrive()); err != nil {
				t.Errorf("%s, then right: %v", name, err)
			}
		}
	}
	d := w.device(w.newer)
	n := 0
	d.Clock = func() time.Time { // jumps to and fro, within the life of the metadata
		n++
		return noon.Add(time.Duration(n%3-1) * 100 * time.Hour)
	}
	l := d.life(b.delivered(), "jumping, boot ")
	if err := errors.Join(l.settle(), l.arrive()); err != nil {
		t.Errorf("jumping: %v", err)
	}
}

// TestTwoAgentsAtOnce: the second one is told who has the state folder, and changes nothing.
func TestTwoAgentsAtOnce(t *testing.T) {
	w := newWorld(t)
	l := w.device(w.newer).life(w.delivered(), "first, boot ")
	if err := l.settle(); err != nil {
		t.Fatal(err)
	}
	lock, err := l.durable().TryLock(stateDir + "/agent.lock")
	if err != nil {
		t.Fatal(err)
	}
	before := l.disk.Now().Sum()
	if _, err := l.install(); !errors.Is(err, agent.ErrRunning) || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("the second agent: %v", err)
	}
	if l.disk.Now().Sum() != before {
		t.Error("the second agent changed something")
	}
	if err := errors.Join(lock.Unlock(), l.arrive()); err != nil {
		t.Error(err)
	}
}

// TestRotInASlot: a slot that rots after it was verified is not tried; the one that runs is told from what it was.
func TestRotInASlot(t *testing.T) {
	w := newWorld(t)
	b := &builder{world: w, t: t}
	for _, at := range []int64{0, frame + 7, 3 * frame} {
		m := b.cutWhen(w.older, func(o *op) bool { p, ok := o.mark.(bootPromised); return ok && p.TriesLeft == 1 })
		rot := make([]byte, 1)
		m.readSlot(1, at, rot)
		rot[0] ^= 0x10
		m.writeSlot(1, at, 1, rot)
		l := w.device(w.newer).life(m, "rot, boot ")
		if err := errors.Join(l.settle(), l.arrive()); err != nil {
			t.Errorf("rot at byte %d of the slot to be tried: %v", at, err)
		}
	}
}

// TestStateOfANewerVersion: what a newer agent left is read as far as it is known, and nothing of it is lost to a floor.
func TestStateOfANewerVersion(t *testing.T) {
	w := newWorld(t)
	b := &builder{world: w, t: t}
	m := b.after(b.delivered(), w.older)
	disk := NewDisk(m)
	d := durable.Disk{FS: disk}
	for dir, name := range map[string]string{stateDir: "state", stateDir + "/": "record", bootDir: "boot"} {
		data, err := d.LoadPair(strings.TrimSuffix(dir, "/"), name)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(data), `{"schema":1`, `{"schema":2,"of_tomorrow":{"x":[1,2]}`, 1)
		if newer == string(data) {
			t.Fatalf("%s has no schema: %s", name, data)
		}
		for range 2 {
			if err := d.SavePair(strings.TrimSuffix(dir, "/"), name, []byte(newer)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := w.device(w.newer).life(disk.Now(), "older, boot ")
	if err := l.settle(); err != nil {
		t.Fatal(err)
	}
	if r, err := readRecord(l.durable()); err != nil || r.Counter != w.older.Counter {
		t.Errorf("the floor is %d (%v), and was %d", r.Counter, err, w.older.Counter)
	}
	if f, err := boot.OpenFile(bootDir, boot.FileOptions{Disk: l.durable()}); err != nil {
		t.Error(err)
	} else if s, err := f.State(); err != nil || s.Lost || s.Committed != boot.B {
		t.Errorf("the boot state is %+v (%v)", s, err)
	}
	if err := l.arrive(); err != nil {
		t.Error(fmt.Errorf("then: %w", err))
	}
}
