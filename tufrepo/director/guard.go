package director

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// An older copy of the database knows less than devices have seen: rollouts that ended run in
// it, devices that were revoked are in order. So the generation of the database, which grows
// every minute, is also kept in the file Config.SeenFile outside of it. Where the file is ahead,
// nothing is directed until a person has looked.

const maxSeen = 64

// openGuard compares the database with what this machine has seen.
func (d *Director) openGuard(ctx context.Context) error {
	seen, err := readSeen(d.SeenFile)
	if err != nil {
		return err
	}
	var have int64
	if err := d.Store.View(ctx, func(tx *store.Tx) (err error) { have, err = tx.Generation(); return err }); err != nil {
		return err
	}
	if have < seen {
		d.older.Store(&OlderCopy{Have: have, Seen: seen})
		d.Log.Error("the database is an older copy: nothing is directed until fairlead-repo accept-older", "generation", have, "seen", seen)
		return nil
	}
	return d.advance(ctx, seen)
}

// advance raises the generation: first in the database, then in the file, so that a crash
// between them leaves no file that is ahead.
func (d *Director) advance(ctx context.Context, atLeast int64) error {
	var now int64
	err := d.Store.Update(ctx, func(tx *store.Tx) (err error) { now, err = tx.NextGeneration(atLeast); return err })
	if err != nil {
		return err
	}
	return WriteSeen(d.SeenFile, now)
}

// readSeen is 0 where there is no file, as on a machine that is new.
func readSeen(path string) (int64, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the generation that was seen: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw[:min(len(raw), maxSeen)])), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("file %s is damaged: write the number 1000000000 into it, then look at the rollouts and run fairlead-repo accept-older", path)
	}
	return n, nil
}

// WriteSeen notes a generation in the file of Config.SeenFile.
func WriteSeen(path string, n int64) error {
	return durable.WriteFile(path, []byte(strconv.FormatInt(n, 10)+"\n"), 0o600)
}

// ReadSeen is the generation in that file, 0 if there is none.
func ReadSeen(path string) (int64, error) { return readSeen(path) }

// OlderCopy says how far an older copy of the database is behind.
type OlderCopy struct{ Have, Seen int64 }

// Older is the older copy that the director runs on, or nil.
func (d *Director) Older() *OlderCopy { return d.older.Load() }

// guard refuses to sign directions on an older copy.
func (d *Director) guard() error {
	o := d.older.Load()
	if o == nil {
		return nil
	}
	return refuse(wire.CodeUnavailable, "the director runs on an older copy of its database (generation %d, this machine has seen %d) and directs nobody: "+
		"look at revoked devices and rollouts, then run fairlead-repo accept-older", o.Have, o.Seen)
}

// AcceptOlder is the way out, after a person has looked: from now on this copy is the truth.
// The versions of directions jump over what devices have accepted as they report.
func (d *Director) AcceptOlder(ctx context.Context) error {
	o := d.older.Load()
	if o == nil {
		return refuse(wire.CodeConflict, "the database is no older copy: there is nothing to accept")
	}
	if err := d.advance(ctx, o.Seen); err != nil {
		return err
	}
	d.older.Store(nil)
	d.Log.Warn("an older copy of the database was accepted", "generation", o.Have, "seen", o.Seen)
	d.wake()
	return nil
}

// wake lets ReissueLoop look at once.
func (d *Director) wake() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// GuardLoop raises the generation until ctx ends.
func (d *Director) GuardLoop(ctx context.Context, every time.Duration) error {
	return loop(ctx, every, func() {
		if d.Older() != nil {
			return
		}
		if err := d.advance(ctx, 0); err != nil && ctx.Err() == nil {
			d.Log.Error("the generation of the database is not noted", "error", err)
		}
	})
}

// loop calls f now and then until ctx ends.
func loop(ctx context.Context, every time.Duration, f func()) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		f()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
