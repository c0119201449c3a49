package client

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Config is what a Client needs. Root and Source are required.
type Config struct {
	// Dir belongs to the client. Empty: nothing is kept beyond Close.
	Dir string
	// Cache holds the metadata files as served; empty means Dir/metadata. It
	// may lie on a file system that forgets; Dir may not.
	Cache string
	Disk  durable.Disk // where Dir and Cache are
	// Root is the pinned root, the oldest the device may start from. A newer
	// one that was verified and stored takes its place.
	Root      []byte
	Source    Source
	Clock     func() time.Time // nil means time.Now
	BuildTime time.Time        // no time before it is believed
	Log       *slog.Logger     // nil means none
	Limits    Limits
	Roots     *Roots // shared with other clients; nil for none
}

// Client follows the image repository. Its methods may be called from several
// goroutines; they take turns.
type Client struct {
	mu    turn
	trust trust
	set   *set // of the last refresh, if it succeeded
}

// Open prepares a client. It reads the store and asks nothing of the network.
// Errors: ErrBusy if another process has the store, ErrStore, and those of a
// pinned root that is not good.
func Open(c Config) (*Client, error) {
	t, err := openTrust(c, "metadata/", floors.rotated)
	if err != nil {
		return nil, err
	}
	return &Client{trust: *t}, nil
}

func openTrust(c Config, prefix string, rotate func(f floors, last, next *metadata.RootType) floors) (*trust, error) {
	if c.Source == nil || len(c.Root) == 0 {
		return nil, failf(ErrConfig, "", "a source and a pinned root are needed")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	limits := c.Limits.withDefaults()
	store, err := openStore(c.Disk, c.Dir, c.Cache, c.Log)
	if err != nil {
		return nil, err
	}
	t := &trust{
		store: store, source: c.Source, prefix: prefix, parser: parser{limits}, limits: limits,
		clock: c.Clock, build: c.BuildTime, log: c.Log, shared: c.Roots, rotate: rotate,
	}
	if err := t.open(c.Root); err != nil {
		_ = store.close()
		return nil, err
	}
	return t, nil
}

// Close gives the store back.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.trust.store.close(); err != nil {
		return storeError("", err)
	}
	return nil
}

// TrustedTime is the time that expiries are held against.
func (c *Client) TrustedTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trust.now()
}

// RaiseTime lifts the floor of trusted time, durably, to an issue time that
// verified metadata of another repository told, such as a direction. It is
// never lifted beyond the expiry of the root.
func (c *Client) RaiseTime(issued time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.trust.floors
	c.trust.raiseTime(issued, issued)
	return c.trust.saveFloors(before)
}

// Versions is what a client trusts, for people to read.
type Versions struct {
	Root      int64            `json:"root"`
	Timestamp int64            `json:"timestamp"`
	Snapshot  int64            `json:"snapshot"`
	Roles     map[string]int64 `json:"roles,omitempty"`  // targets and the product roles
	Time      time.Time        `json:"time"`             // the floor of trusted time; zero if none
	Policy    string           `json:"policy,omitempty"` // id of the log policy; empty if none was ever seen
}

// Versions tells the highest versions seen; zero for what was never seen.
func (c *Client) Versions() Versions {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.trust.floors
	v := Versions{Root: c.trust.root.Signed.Version, Timestamp: f.Timestamp.Version, Snapshot: f.Snapshot.Version, Time: f.Time, Roles: map[string]int64{}}
	if f.Policy != nil {
		v.Policy = firmware.Sum(f.Policy).String()[:16]
	}
	for name, at := range f.Roles {
		v.Roles[roleOf(name)] = at.Version
	}
	return v
}

// ready returns the set of the last refresh, after a first one if need be.
func (c *Client) ready(ctx context.Context) (*set, error) {
	if c.set == nil {
		if err := c.refresh(ctx, &expectation{}); err != nil {
			return nil, fmt.Errorf("refresh first: %w", err)
		}
	}
	return c.set, nil
}
