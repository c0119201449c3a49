package qemu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// start is how a machine started, from power on to the line "FL ready": all that it read from the disk and wrote to it, and the
// state in which it was then. Firmware, GRUB and the kernel know nothing else of the disk. A machine whose disk answers each of
// those reads in the same way would do the same again, so it goes on from the saved state: five seconds of processor time less.
type start struct {
	trace []access
	state string // file
}

// access is a read or a write.
type access struct {
	op
	write bool
}

// starts are those that are known. Two machines may ask at once.
type starts struct {
	mu  sync.Mutex
	dir string
	max int // how many are kept
	all []*start

	real, saved int // machines that started, and those that went on from a start
}

// fit finds a start of this disk, and does to the disk what it did. nil if there is none, or if the power is to be cut within.
func (s *starts) fit(d *disk) *start {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if writes, ok := one.fits(d); ok {
			s.saved++
			for _, w := range writes {
				d.write(w.data, w.off)
			}
			return one
		}
	}
	s.real++
	return nil
}

// fits says whether the start would be the same on this disk, and what it would write. A start that writes anywhere but to the
// bootloader's file system is none that we know.
func (s *start) fits(d *disk) (writes []op, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	env := timeless(d.data)
	for _, a := range s.trace {
		switch at := view(d.data, env, a.off, len(a.data)); {
		case a.write && partOf(a.off) != "environment":
			return nil, false
		case a.write:
			copy(at, a.data)
			writes = append(writes, a.op)
		case !bytes.Equal(at, a.data):
			return nil, false
		}
	}
	return writes, d.cutAt <= d.writes || d.cutAt > d.writes+len(writes)
}

// add keeps a start of which the machine's disk has the trace.
func (s *starts) add(d *disk, save func(path string) error) error {
	s.mu.Lock()
	n := len(s.all)
	s.mu.Unlock()
	d.mu.Lock()
	one := &start{trace: d.trace, state: filepath.Join(s.dir, fmt.Sprintf("start-%d-%p", n, d))}
	d.trace = nil
	d.mu.Unlock()
	if n >= s.max {
		return nil
	}
	if err := save(one.state); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
	return nil
}

// view is a place of the disk; env stands for the bootloader's partition.
func view(data, env []byte, off int64, n int) []byte {
	if partOf(off) == "environment" {
		return env[off-envAt:][:n]
	}
	return data[off:][:n]
}

// timeless is a copy of the bootloader's partition that has neither times nor a count of its mounts: nobody who starts a machine
// looks at them.
func timeless(data []byte) []byte {
	part := bytes.Clone(data[envAt:][:envSize])
	super := part[1024:2048]
	for _, f := range [][2]int{{0x2c, 0x36}, {0x3a, 0x3c}, {0x88, 0xc8}, {0x178, 0x180}} {
		clear(super[f[0]:f[1]])
	}
	count, size := int(binary.LittleEndian.Uint32(super)), int(binary.LittleEndian.Uint16(super[0x58:]))
	table := part[1024*int(binary.LittleEndian.Uint32(part[2048+8:])):]
	for i := range count {
		inode := table[i*size:][:size]
		clear(inode[0x08:0x14])
		clear(inode[0x24:0x28])
		if size > 128 {
			clear(inode[0x84:0xa0])
		}
	}
	return part
}

// bytesOf is the size of the kept states.
func (s *starts) bytesOf() (sum int64) {
	for _, one := range s.all {
		if info, err := os.Stat(one.state); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
