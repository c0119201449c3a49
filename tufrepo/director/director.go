package director

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/pki"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// Lifetime is how long a direction holds; it is issued anew at half of that.
const Lifetime = 7 * 24 * time.Hour

// Config says what a director works with. Every member but Node and Look must be set.
type Config struct {
	Store    *store.Store
	CA       *pki.Authority
	Releases Releases
	Keys     string // folder of the online keys
	Seal     Sealer // encrypts them
	SeenFile string // file with the newest generation of the database that was seen, not among what is backed up with it
	// Node names this director among those that share a database; empty where there is one.
	Node  string
	Clock func() time.Time
	Log   *slog.Logger
	// Look is how often it is looked whether turns of rollouts are due of which nobody was told; 0 means 1 s.
	Look time.Duration
}

// Director is safe for use from many goroutines.
type Director struct {
	Config
	stats Stats

	tenants sync.Mutex // held while a tenant's keys or roots change

	signing sync.Mutex
	signers map[string]signer // by tenant

	notify    atomic.Pointer[func(device string)]
	withdrawn atomic.Pointer[func(device string)]
	older     atomic.Pointer[OlderCopy] // nil in order
	tries     tries
	codeKey   []byte
	answers   answers

	again   chan struct{} // wakes ReissueLoop
	devices sync.Map      // id -> *talk

	remember  sync.Mutex
	minds     map[string]*mind // by rollout
	openUntil sync.Map         // rollout -> time.Time until when devices join it
	noted     atomic.Bool      // something was put into an inbox since the last stir
	stirred   chan struct{}    // wakes RolloutLoop
}

// signer is a tenant's online key and the root that names it.
type signer struct {
	keyfile.Signer
	root string
}

// Stats count since the start.
type Stats struct {
	Directions, Enrolled, Events, Duplicates, Refused atomic.Int64
}

// New makes a director and its key folder. Keys that are in the clear are encrypted.
func New(ctx context.Context, c Config) (*Director, error) {
	if err := durable.MkdirAll(c.Keys, 0o700); err != nil {
		return nil, fmt.Errorf("starting the director: %w", err)
	}
	if c.Seal == nil || c.SeenFile == "" {
		return nil, errors.New("starting the director: it needs a Sealer and a file for the generation")
	}
	d := &Director{Config: c, signers: map[string]signer{}, again: make(chan struct{}, 1),
		minds: map[string]*mind{}, stirred: make(chan struct{}, 1)}
	for _, step := range []func(context.Context) error{d.sealAll, d.openCodes, d.openGuard} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("starting the director: %w", err)
		}
	}
	return d, nil
}

// node is the holder of this director's leases.
func (d *Director) node() string {
	if d.Node == "" {
		return "director"
	}
	return d.Node
}

// Stats returns the counters.
func (d *Director) Stats() *Stats { return &d.stats }

// OnDirection sets the function that is told of every device with a new direction, after
// the direction is stored. It must not block.
func (d *Director) OnDirection(f func(device string)) {
	d.notify.Store(&f)
}

func (d *Director) told(device string) {
	if f := d.notify.Load(); f != nil {
		(*f)(device)
	}
}

// Error is what the caller, not the director, can mend. Code is one of the Code constants of
// package wire.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// notFound turns a missing row into a message for the caller.
func notFound(err error, format string, args ...any) error {
	if errors.Is(err, store.ErrNotFound) {
		return refuse(wire.CodeNotFound, format, args...)
	}
	return err
}

// Identity is a device that has proved who it is.
type Identity struct{ Tenant, Device string }

func keyHash(spki []byte) []byte {
	sum := sha256.Sum256(spki)
	return sum[:]
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
