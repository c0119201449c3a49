package crash

import (
	"fmt"
	"runtime"
	"strings"
)

type kind byte

const (
	opWrite  kind = iota // bytes of a file
	opResize             // length of a file
	opSet                // a name in a folder
	opUnset              // is gone
	opRename             // within a folder
	opSlot               // bytes of a slot, zeros if nil
	opSync               // of a file, a folder or a slot
	opMark               // what somebody outside was promised, or saw
)

// op is one line of the log.
type op struct {
	kind   kind
	node   int // whose barrier makes it durable: a file or a folder; of slots slotNode(i)
	child  int // that a name leads to
	name   string
	to     string // of a rename
	off    int64
	length int64 // of slots and opResize
	data   []byte
	leaves []*leaf // of data, where it begins with a page of a slot: they are the same in every medium
	mark   any
	site   string // of a sync: where it was asked for
}

// slotNode is the barrier of a slot.
func slotNode(slot int) int { return -1 - slot }

// apply does what the operation does.
func (o *op) apply(m *Medium) {
	switch o.kind {
	case opWrite:
		m.write(o.node, o.off, o.data)
	case opResize:
		m.resize(o.node, o.length)
	case opSet:
		m.editDir(o.node, func(e map[string]int) { e[o.name] = o.child })
		m.ensure(o.child, o.length != 0)
	case opUnset:
		m.editDir(o.node, func(e map[string]int) { delete(e, o.name) })
	case opRename:
		m.editDir(o.node, func(e map[string]int) { delete(e, o.name); e[o.to] = o.child })
		m.ensure(o.child, false)
	case opSlot:
		whole := copy(m.slots[-1-o.node][o.off/page:], o.leaves[:min(int64(len(o.leaves)), o.length/page)]) * page
		if rest := o.length - int64(whole); rest > 0 && o.data == nil {
			m.writeSlot(-1-o.node, o.off, o.length, nil)
		} else if rest > 0 {
			m.writeSlot(-1-o.node, o.off+int64(whole), rest, o.data[whole:])
		}
	}
}

// ensure makes a node that a name leads to before anything of it is durable: empty.
func (m *Medium) ensure(id int, dir bool) {
	if m.nodes[id] == nil {
		m.nodes[id] = newFile(nil)
		if dir {
			m.nodes[id] = &node{dir: true, entries: map[string]int{}}
		}
	}
}

func (o *op) String() string {
	switch o.kind {
	case opWrite:
		return fmt.Sprintf("write %d bytes at %d of node %d", len(o.data), o.off, o.node)
	case opResize:
		return fmt.Sprintf("resize node %d to %d", o.node, o.length)
	case opSet:
		return fmt.Sprintf("name %q for node %d in folder %d", o.name, o.child, o.node)
	case opUnset:
		return fmt.Sprintf("remove %q from folder %d", o.name, o.node)
	case opRename:
		return fmt.Sprintf("rename %q to %q in folder %d", o.name, o.to, o.node)
	case opSlot:
		return fmt.Sprintf("write %d bytes at %d of slot %c", o.length, o.off, 'a'-1-o.node)
	case opSync:
		return fmt.Sprintf("sync node %d, %s", o.node, o.site)
	}
	return fmt.Sprintf("mark %v", o.mark)
}

// site names who asks for a sync: the line that syncs, and, if that is within firmware/durable, the line that asked it to.
func site() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	line := func(f runtime.Frame) string {
		_, file, _ := strings.Cut(f.File, "/fairlead/")
		if _, short, ok := strings.Cut(file, "/main/"); ok {
			file = short
		}
		if i := strings.Index(f.File, "/firmware/durable/"); i >= 0 {
			file = f.File[i+1:]
		}
		for _, room := range []string{"/agent/", "/tufrepo/", "/test/"} {
			if i := strings.LastIndex(f.File, room); i >= 0 {
				file = f.File[i+1:]
				break
			}
		}
		return fmt.Sprintf("%s:%d", file, f.Line)
	}
	first := ""
	for {
		f, more := frames.Next()
		if strings.Contains(f.File, "/test/crash/") && more {
			continue
		}
		if !strings.Contains(f.File, "/firmware/durable/") {
			if first == "" {
				return line(f)
			}
			return first + " < " + line(f)
		}
		if first == "" {
			first = line(f)
		}
		if !more {
			return first
		}
	}
}
