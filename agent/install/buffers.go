package install

import (
	"context"

	"golang.org/x/sys/unix"
)

// buffers is a fixed number of byte slices of one size, page-aligned and outside of Go's heap.
type buffers struct {
	memory []byte
	free   chan []byte
}

func newBuffers(count, size int) (*buffers, error) {
	memory, err := mapMemory(count * size)
	if err != nil {
		return nil, err
	}
	b := &buffers{memory: memory, free: make(chan []byte, count)}
	for i := range count {
		b.free <- memory[i*size : (i+1)*size : (i+1)*size]
	}
	return b, nil
}

// take returns a buffer of which there must be one.
func (b *buffers) take() []byte { return <-b.free }

// wait returns a buffer as soon as there is one, and none once ctx has ended.
func (b *buffers) wait(ctx context.Context) ([]byte, error) {
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	select {
	case p := <-b.free:
		return p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// give takes back a buffer, as it was taken.
func (b *buffers) give(p []byte) { b.free <- p }

// close unmaps the memory. Nobody may use a buffer any more.
func (b *buffers) close() {
	_ = unix.Munmap(b.memory)
	b.memory = nil
}
