package install

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapMemory returns page-aligned memory outside of Go's heap: the collector neither scans it nor waits for it, and takes
// no room beside it. Pages that are never touched cost nothing.
func mapMemory(size int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("allocating %d bytes for buffers: %w", size, err)
	}
	return memory, nil
}

// arena gives out pieces of one memory, of any size, which come back in any order. A piece lies as far in front as there
// is room, so that a stream of small pieces touches little memory.
type arena struct {
	memory []byte
	mu     sync.Mutex
	taken  []Extent      // in the order of their places
	freed  chan struct{} // has something when a piece came back
}

func newArena(size int) (*arena, error) {
	memory, err := mapMemory(size)
	return &arena{memory: memory, freed: make(chan struct{}, 1)}, err
}

// take returns n bytes at the start of a page as soon as there is room, and nothing once ctx has ended. Only one
// goroutine may take. n is at most the arena's size.
func (a *arena) take(ctx context.Context, n int64) ([]byte, error) {
	for {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if p := a.fit(n); p != nil {
			return p, nil
		}
		select {
		case <-a.freed:
		case <-ctx.Done():
		}
	}
}

func (a *arena) fit(n int64) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, before := int64(0), 0
	for _, t := range a.taken {
		if at+n <= t.Offset {
			break
		}
		at, before = (t.end()+directAlign-1)&^(directAlign-1), before+1
	}
	if at+n > int64(len(a.memory)) {
		return nil
	}
	a.taken = slices.Insert(a.taken, before, Extent{at, n})
	return a.memory[at : at+n : at+n]
}

// give takes back a piece, as it was taken. One without bytes is nobody's.
func (a *arena) give(p []byte) {
	if len(p) == 0 {
		return
	}
	at := int64(uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(a.memory))))
	a.mu.Lock()
	a.taken = slices.DeleteFunc(a.taken, func(e Extent) bool { return e.Offset == at })
	a.mu.Unlock()
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

// close unmaps the memory. Nobody may use a piece any more.
func (a *arena) close() {
	_ = unix.Munmap(a.memory)
	a.memory = nil
}
