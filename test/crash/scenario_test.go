package crash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
)

// scenario is how a device was left before the update that is cut.
type scenario struct {
	name   string
	make   func(b *builder) *Medium
	lostOK bool
	kind   bootKind
	fault  func() func(what, name string) error // during the update that is cut; it has gone when the device starts again
}

// builder makes media to begin with, by real updates where they are what updates leave.
type builder struct {
	*world
	t    testing.TB
	kind bootKind
}

// device is one of the builder's kind.
func (b *builder) device(target *Image) *Device {
	d := b.world.device(target)
	d.Kind = b.kind
	return d
}

// after is a device that was updated so often.
func (b *builder) after(m *Medium, targets ...*Image) *Medium {
	b.t.Helper()
	for i, target := range targets {
		l := b.device(target).life(m, fmt.Sprint("before ", i, target.Version, ", boot "))
		if err := l.settle(); err != nil {
			b.t.Fatal(err)
		}
		if err := l.update(); err != nil {
			b.t.Fatal(err)
		}
		m = l.disk.Now()
	}
	return m
}

// cutWhen is an update that was cut at the first operation of which when says so, with everything kept.
func (b *builder) cutWhen(target *Image, when func(o *op) bool) *Medium {
	b.t.Helper()
	l := b.device(target).life(b.delivered(), "before, boot ")
	if err := l.settle(); err != nil {
		b.t.Fatal(err)
	}
	if err := l.update(); err != nil {
		b.t.Fatal(err)
	}
	m := l.disk.base.Clone()
	for _, o := range l.disk.log {
		if when(o) {
			return m
		}
		o.apply(m)
	}
	b.t.Fatal("the operation never came")
	return nil
}

func (b *builder) started() *Medium {
	b.t.Helper()
	l := b.device(b.older).life(b.delivered(), "before, boot ")
	if err := l.settle(); err != nil {
		b.t.Fatal(err)
	}
	return l.disk.Now()
}

// eachFile calls f for each file.
func eachFile(m *Medium, dir string, f func(name string, data []byte)) {
	id, err := m.lookup(split(dir))
	if err != nil {
		return
	}
	for name, child := range m.nodes[id].entries {
		if n := m.nodes[child]; n.dir {
			eachFile(m, path.Join(dir, name), f)
		} else {
			f(path.Join(dir, name), n.data)
		}
	}
}

// numbered gives every pair a sequence such that the next saves pass it, as the 32nd or the 64th bit turns over.
func numbered(m *Medium, at uint64) *Medium {
	var names []string
	eachFile(m, "/", func(name string, _ []byte) { names = append(names, name) })
	for _, name := range names {
		data, _ := m.ReadFile(name)
		if !bytes.HasPrefix(data, []byte("\x89FLS")) {
			continue
		}
		data = bytes.Clone(data)
		was := binary.LittleEndian.Uint64(data[8:])
		binary.LittleEndian.PutUint64(data[8:], at-3+was)
		sum := crc32.Checksum(data[:len(data)-4], crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(data[len(data)-4:], sum)
		m.Put(name, data)
	}
	return m
}

// rotten has garbage in the files of these names.
func rotten(m *Medium, names ...string) *Medium {
	for _, name := range names {
		if _, err := m.ReadFile(name); err == nil {
			m.Put(name, []byte("rot"))
		}
	}
	return m
}

func littered(m *Medium) *Medium {
	for _, dir := range []string{bootDir, stateDir, stateDir + "/image", stateDir + "/image/metadata", stateDir + "/journal"} {
		m.Put(dir+"/.tmp-123", []byte("half a fi"))
		for _, pair := range []string{"boot", "state", "record", "floors", "install"} {
			m.Put(dir+"/.tmp-"+pair, bytes.Repeat([]byte("x"), 5000))
		}
	}
	m.Put(stateDir+"/journal/patch.head", []byte("of another install"))
	m.Put(stateDir+"/answer.json", []byte(`{"schema":1,"update":"nobody","say":"yes"}`))
	return m
}

func full(after int) func() func(what, name string) error {
	return func() func(what, name string) error {
		n := 0
		return func(what, name string) error {
			if what == "create" || what == "write" || what == "mkdir" {
				if n++; n > after && strings.HasPrefix(name, stateDir) {
					return syscall.ENOSPC
				}
			}
			return nil
		}
	}
}

func readOnly() func(what, name string) error {
	return func(what, name string) error {
		if strings.HasPrefix(name, stateDir) && slices.Contains([]string{"create", "write", "rename", "remove", "mkdir", "truncate"}, what) {
			return syscall.EROFS
		}
		return nil
	}
}

// rots are files that may be garbage at once.
var rots = map[string][]string{
	"boot copy 0": {"boot/boot.0"}, "boot copy 1": {"boot/boot.1"}, "boot copies": {"boot/boot.0", "boot/boot.1"},
	"running": {"boot/running"}, "state": {"state/state.0", "state/state.1"}, "state copy 0": {"state/state.0"}, "record copy 1": {"state/record.1"},
	"outbox": {"state/outbox"}, "journal": {"state/journal/install.0", "state/journal/install.1", "state/journal/artifact.head"},
	"floors copy 0": {"state/image/floors.0"}, "floors": {"state/image/floors.0", "state/image/floors.1"},
	"metadata": {"state/image/metadata/timestamp.json", "state/image/metadata/snapshot.json", "state/image/metadata/targets.json"},
}

// scenarios are the beginnings. In those whose first update was to 1.1.0, the one that is cut is to 1.2.0.
func scenarios() []scenario {
	all := []scenario{
		{name: "other slot empty", make: func(b *builder) *Medium { return b.delivered() }},
		{name: "other slot noise", make: func(b *builder) *Medium {
			m := b.delivered()
			m.PutSlot(1, imageBytes(99))
			return m
		}},
		{name: "other slot older", make: func(b *builder) *Medium { return b.after(b.delivered(), b.older) }},
		{name: "other slot failed", make: func(b *builder) *Medium { return b.after(b.delivered(), b.bad) }},
		{name: "other slot newest already", make: func(b *builder) *Medium {
			m := b.started()
			copy(m.slots[1], b.newer.leaves)
			return m
		}},
		{name: "half written", make: func(b *builder) *Medium {
			slots := 0
			return b.cutWhen(b.older, func(o *op) bool {
				if o.kind == opSlot {
					slots++
				}
				return slots == 3
			})
		}},
		{name: "bootloader new", make: func(b *builder) *Medium {
			m := b.delivered()
			m.Put(stateDir+"/agent.lock", nil)
			return m
		}},
		{name: "forbidden", make: func(b *builder) *Medium {
			return b.cutWhen(b.older, func(o *op) bool { return o.kind == opSlot })
		}},
		{name: "told to try", make: func(b *builder) *Medium {
			return b.cutWhen(b.older, func(o *op) bool { p, ok := o.mark.(bootPromised); return ok && p.TriesLeft == 1 })
		}},
		{name: "on trial", make: func(b *builder) *Medium {
			return b.cutWhen(b.older, func(o *op) bool { p, ok := o.mark.(bootPromised); return ok && p.Running == boot.B })
		}},
		{name: "committed, not yet written down", make: func(b *builder) *Medium {
			return b.cutWhen(b.older, func(o *op) bool { p, ok := o.mark.(bootPromised); return ok && p.Committed == boot.B })
		}},
		{name: "leftovers", make: func(b *builder) *Medium { return littered(b.started()) }},
		{name: "data full at once", make: func(b *builder) *Medium { return b.started() }, fault: full(0)},
		{name: "data read-only", make: func(b *builder) *Medium { return b.started() }, fault: readOnly},
	}
	for _, n := range []int{3, 9, 14, 20} {
		all = append(all, scenario{name: fmt.Sprintf("data full after %d writes", n), make: func(b *builder) *Medium { return b.started() }, fault: full(n)})
	}
	for _, at := range []uint64{10, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 63, 0} {
		all = append(all, scenario{name: fmt.Sprintf("counters at %#x", at), make: func(b *builder) *Medium {
			return numbered(b.after(b.delivered(), b.older), at)
		}})
	}
	for what, files := range rots {
		all = append(all, scenario{name: "rot in the " + what, lostOK: what == "boot copies", make: func(b *builder) *Medium {
			return rotten(b.after(b.delivered(), b.older), files...)
		}})
	}
	for _, kind := range []bootKind{grubBoot, ubootBoot} {
		all = append(all, kind.scenarios()...)
	}
	slices.SortFunc(all, func(a, b scenario) int { return strings.Compare(a.name, b.name) })
	return all
}

// patchedScenarios are those whose update is by a patch, out of the slot that runs.
func patchedScenarios() []scenario {
	return []scenario{
		{name: "by a patch", make: func(b *builder) *Medium { return b.after(b.delivered(), b.older) }},
		{name: "by a patch, half written", make: func(b *builder) *Medium {
			l := b.device(b.patched).life(b.after(b.delivered(), b.older), "half, boot ")
			if err := l.first(nil); err != nil {
				b.t.Fatal(err)
			}
			m, slots := l.disk.base.Clone(), 0
			for _, o := range l.disk.log {
				if o.kind == opSlot {
					slots++
				}
				if slots == 3 {
					break
				}
				o.apply(m)
			}
			return m
		}},
		{name: "by a patch, counters at the 32nd bit", make: func(b *builder) *Medium {
			return numbered(b.after(b.delivered(), b.older), 1<<32)
		}},
	}
}
