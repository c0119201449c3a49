package outbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Limits where Options names none.
const (
	DefaultMaxEvents = 1000
	DefaultMaxBytes  = 1 << 20
)

// slack is what a file may hold beyond its live events twice before it is rewritten.
const slack = 64 << 10

// ErrFull means that nothing in the outbox may be dropped for a newer event.
var ErrFull = errors.New("the outbox is full of ended updates that the service has not acknowledged")

// Options bounds an outbox.
type Options struct {
	MaxEvents int          // 0 means DefaultMaxEvents
	MaxBytes  int          // of JSON; 0 means DefaultMaxBytes
	Log       *slog.Logger // nil means none

	Disk  durable.Disk // where the folder is
	Names io.Reader    // of randomness, for epochs; nil means crypto/rand
}

// Outbox is safe for concurrent use.
type Outbox struct {
	path  string
	o     Options
	log   *slog.Logger
	ready chan struct{}

	mu     sync.Mutex
	epoch  string
	next   int64
	events []entry // oldest first
	live   int     // bytes of events
	size   int64   // bytes of the file that are known to be good
	stale  bool    // the file must be rewritten before it is appended to
}

type entry struct {
	wire.Event
	size int
}

// Open reads the outbox in folder dir, which must exist. Damage costs what stood after it,
// and is logged; it is no error.
func Open(dir string, o Options) (*Outbox, error) {
	if info, err := o.Disk.Stat(dir); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open outbox: %s is not a folder", dir)
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = DefaultMaxEvents
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Names == nil {
		o.Names = rand.Reader
	}
	b := &Outbox{path: filepath.Join(dir, "outbox"), o: o, log: o.Log,
		ready: make(chan struct{}, 1)}
	b.load()
	if len(b.events) > 0 {
		b.signal()
	}
	return b, nil
}

// Append numbers e, makes it durable and returns it as it will be sent. Schema, Epoch, Seq
// and Dropped are filled in; Detail is cut to one short line. After an error the event may
// or may not be sent.
func (b *Outbox) Append(e wire.Event) (wire.Event, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	victims := b.victims(e.Update)
	freed, dropped := weigh(victims)
	e.Schema, e.Epoch, e.Seq = wire.Schema, b.epoch, b.next
	e.Time, e.Detail = e.Time.UTC().Truncate(time.Millisecond), wire.Text(e.Detail)
	e.Dropped = dropped
	payload, err := wire.Encode(e)
	if err != nil {
		return wire.Event{}, fmt.Errorf("append to outbox: %w", err)
	}
	if len(b.events)-len(victims) >= b.o.MaxEvents || b.live-freed+len(payload) > b.o.MaxBytes {
		return wire.Event{}, fmt.Errorf("append to outbox: %w", ErrFull)
	}
	b.next++
	if err := b.store(entry{e, len(payload)}, payload); err != nil {
		return wire.Event{}, fmt.Errorf("append to outbox: %w", err)
	}
	b.drop(victims)
	b.signal()
	return e, nil
}

// store makes an event part of the file and of the memory, or of neither for sure: the file
// is rewritten next time after a failure.
func (b *Outbox) store(e entry, payload []byte) error {
	if !b.stale {
		if err := b.write(record(kindEvent, payload), true); err != nil {
			return err
		}
		b.keep(e)
		return nil
	}
	b.keep(e)
	if err := b.rewrite(); err != nil {
		b.events = b.events[:len(b.events)-1]
		b.live -= e.size
		return err
	}
	return nil
}

func (b *Outbox) keep(e entry) {
	b.events = append(b.events, e)
	b.live += e.size
}

// Next returns the oldest events that were not acknowledged, all of one epoch: at most n,
// and beyond the first no more than size bytes of JSON. None means that there are none.
func (b *Outbox) Next(n, size int) []wire.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []wire.Event
	for _, e := range b.events {
		size -= e.size
		if len(out) == n || len(out) > 0 && (size < 0 || e.Epoch != out[0].Epoch) {
			break
		}
		out = append(out, e.Event)
	}
	return out
}

// Ack lets go of every event of epoch up to seq. That a crash may undo.
func (b *Outbox) Ack(epoch string, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forget(func(e wire.Event) bool { return e.Epoch == epoch && e.Seq <= seq }) == 0 {
		return
	}
	if err := b.note(kindThrough, epoch, seq); err != nil {
		b.log.Warn("outbox: an acknowledgement was not written, events may be sent twice", "error", err)
	}
}

// Len is the number of events that wait.
func (b *Outbox) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events)
}

// Ready gets a value when there may be something to send. It is for one reader.
func (b *Outbox) Ready() <-chan struct{} { return b.ready }

func (b *Outbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// forget removes from memory what gone says and counts it.
func (b *Outbox) forget(gone func(wire.Event) bool) (n int) {
	kept := b.events[:0]
	for _, e := range b.events {
		if gone(e.Event) {
			b.live -= e.size
			n++
		} else {
			kept = append(kept, e)
		}
	}
	clear(b.events[len(kept):])
	b.events = kept
	if len(kept) == 0 {
		b.events = nil // a device that was offline for long gets its memory back
	}
	return n
}

// note writes that events have left, or rewrites the file when most of it has.
func (b *Outbox) note(kind byte, epoch string, seq int64) error {
	if b.stale {
		return nil // the rewrite to come leaves them out
	}
	if b.size > int64(2*b.live+slack) {
		return b.rewrite()
	}
	return b.write(record(kind, numbered(seq, epoch)), false)
}

// rewrite replaces the file by what is live.
func (b *Outbox) rewrite() error {
	b.stale = true
	out := append([]byte(magic), record(kindHead, numbered(b.next, b.epoch))...)
	for _, e := range b.events {
		payload, err := wire.Encode(e.Event)
		if err != nil {
			return err
		}
		out = append(out, record(kindEvent, payload)...)
	}
	if err := b.o.Disk.WriteFile(b.path, out, 0o600); err != nil {
		return err
	}
	b.size, b.stale = int64(len(out)), false
	return nil
}

// write appends a record. It keeps no file open between two events: ten thousand agents
// may live in one process.
func (b *Outbox) write(rec []byte, sync bool) (err error) {
	b.stale = true // until all of it has worked
	f, err := b.o.Disk.OpenFile(b.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() != b.size {
		return fmt.Errorf("%s has %d bytes, %d were written: somebody else changed it", b.path, info.Size(), b.size)
	}
	if _, err := f.WriteAt(rec, b.size); err != nil {
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	b.size, b.stale = b.size+int64(len(rec)), false
	return nil
}

// newEpoch begins to number anew.
func (b *Outbox) newEpoch() {
	name := make([]byte, 16)
	if _, err := io.ReadFull(b.o.Names, name); err != nil {
		_, _ = rand.Read(name) // which never fails
	}
	b.epoch, b.next, b.stale = hex.EncodeToString(name), 1, true
}
