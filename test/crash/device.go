package crash

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Folders of a device, on its Disk.
const (
	stateDir = "/state"
	bootDir  = "/boot"
)

// maxBoots is how often a device may be started until it has come to rest.
const maxBoots = 12

// Image is one that a slot may hold.
type Image struct {
	Version string
	Counter int64
	Bad     bool // it starts, and its checks say no
	leaves  []*leaf
	sha256  string
}

// Device is what is started on a medium: the model of the bootloader, and the real agent in each boot. What must hold:
//
//   - on a medium, before it starts: the committed slot and each slot that is bootable hold a whole image of the
//     repository; the boot state is readable, unless it was not to begin with; what the bootloader, the outbox, the record
//     and the metadata's floors have promised is there; what the journal calls durable is in the slot.
//   - within maxBoots starts it comes to rest, and no byte was written to a slot that ran or was committed.
//   - with a good repository it then comes to the newest release, or back to where it was if that is bad.
type Device struct {
	Config agent.Config
	Images []*Image
	Repo   string // folder of the repository
	Target *Image // what it offers
	Clock  func() time.Time
	Limits install.Limits
	Log    io.Writer // nil for none

	Kind bootKind // of bootloader

	// LostOK: the boot state could not be read to begin with.
	LostOK bool

	drop  string // a site whose syncs do nothing
	sites *sites // that sync; nil if nobody wants to know

	held sync.Map // of bytes of an outbox, by their Sum: the events in it
}

// life is one device on one disk.
type life struct {
	*Device
	disk  *Disk
	boots int
	seed  string // of the names that it gives
	slot  boot.Slot

	mu     sync.Mutex
	broken error // a slot was written that must not be
}

func (d *Device) life(m *Medium, seed string) *life {
	l := &life{Device: d, disk: NewDisk(m), seed: seed}
	l.disk.drop, l.disk.sites = d.drop, d.sites
	return l
}

func (l *life) durable() durable.Disk { return durable.Disk{FS: l.disk} }

func slotIndex(s boot.Slot) int {
	if s == boot.A {
		return 0
	}
	return 1
}

// image is what a slot holds, nil if it is none.
func (d *Device) image(m *Medium, slot int) *Image {
	for _, i := range d.Images {
		if m.Holds(slot, i.leaves) {
			return i
		}
	}
	return nil
}

// errBrick: the device does not come to rest.
var errBrick = errors.New("the device does not come to rest")

// settle starts the device until it is at rest.
func (l *life) settle() error {
	var last error
	for range maxBoots {
		again, err := l.start()
		if err != nil {
			last = err
		}
		if l.broken != nil {
			return l.broken
		}
		if !again {
			return nil
		}
	}
	return fmt.Errorf("%w: after %d starts: %w", errBrick, maxBoots, last)
}

// power starts the bootloader. ok says whether what it starts does start.
func (l *life) power() (b *promised, ok bool, err error) {
	l.boots++
	l.disk.Mark(bootBegins{})
	f, err := l.Kind.open(l.durable(), "")
	if err != nil {
		return nil, false, err
	}
	slot, err := f.Boot()
	l.slot = slot
	b = &promised{f, l.disk, l.promiseFloors}
	if err == nil && l.Kind == fileBoot { // the others do not flush what they write
		b.promise()
	}
	return b, l.image(l.disk.now, slotIndex(slot)) != nil, err
}

// start is one boot, from power on to the reboot that the agent asks for, or to its rest.
func (l *life) start() (again bool, err error) {
	b, ok, err := l.power()
	if !ok {
		return true, errors.Join(err, fmt.Errorf("slot %s does not start", l.slot))
	}
	err = l.run(b)
	switch {
	case errors.Is(err, agent.ErrReboot), errors.Is(err, errHeld):
		return true, err
	case errors.Is(err, agent.ErrNotEnrolled):
		return false, nil
	}
	return true, err
}

// errHeld: the agent waits for somebody who reboots, or for something that does not come.
var errHeld = errors.New("the agent waits for a reboot")

// run is the agent's daemon in this boot. It has no identity, and so ends when nothing is left to do.
func (l *life) run(b boot.Bootloader) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 4*time.Second, errHeld)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o := l.options(b)
	var before struct{ Trouble struct{ Text string } } // what was in the way at an earlier start, and is still told
	_ = readPair(l.durable(), stateDir, "state", &before)
	troubles := 0
	o.Notify.Status = func(line string) {
		if _, text, ok := strings.Cut(line, "trouble: "); ok && text != before.Trouble.Text && !strings.HasPrefix(text, agent.ErrNotEnrolled.Error()) {
			if troubles++; troubles > 3 || strings.Contains(text, "reboot to return to it") {
				stop(fmt.Errorf("%w: %s", errHeld, text))
			}
		}
	}
	a, err := agent.New(l.Config, o)
	if err != nil {
		return err
	}
	if err := a.Run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// install installs the newest release of the repository, and follows it through its trial.
func (l *life) install() (agent.Outcome, error) {
	f, err := l.Kind.open(l.durable(), l.slot)
	if err != nil {
		return agent.Outcome{}, err
	}
	a, err := agent.New(l.Config, l.options(&promised{f, l.disk, l.promiseFloors}))
	if err != nil {
		return agent.Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return a.Install(ctx, l.Repo, l.Target.Version)
}

// update is install, and all boots until the device is at rest again.
func (l *life) update() error {
	_, err := l.install()
	if l.broken != nil {
		return l.broken
	}
	if errors.Is(err, agent.ErrReboot) {
		return l.settle()
	}
	return err
}

func (l *life) options(b boot.Bootloader) agent.Options {
	running := slotIndex(l.slot)
	return agent.Options{
		Log: l.logger(), Clock: l.Clock, Version: "1.0.0", BootID: "boot", Disk: l.durable(), Boot: b,
		Names: &names{seed: fmt.Sprint(l.seed, l.boots)},
		Look:  time.Millisecond, Retry: agent.Retry{Min: time.Microsecond, Max: time.Millisecond, Attempts: 3},
		Rand:   func() float64 { return 0.5 },
		Limits: l.Limits,
		OpenSlot: func(path string, o install.SlotOptions) (install.Device, error) {
			i := int(path[len(path)-1] - 'a')
			if !o.ReadOnly {
				l.guard(i, running, b)
			}
			return l.disk.Slot(i, o.ReadOnly), nil
		},
		Health: []health.Check{{Name: "image", Run: func(context.Context) error {
			if image := l.image(l.disk.Now(), running); image == nil || image.Bad {
				return errors.New("this release does not work")
			}
			return nil
		}}},
		Observe: l.observe,
	}
}

// guard notes that a slot is opened to be written that must not be.
func (l *life) guard(i, running int, b boot.Bootloader) {
	s, err := b.State()
	if i == running || err == nil && !s.Lost && i == slotIndex(s.Committed) {
		l.mu.Lock()
		l.broken = fmt.Errorf("slot %c is opened to be written, and slot %c runs: %+v", 'a'+i, 'a'+running, s)
		l.mu.Unlock()
	}
}

func (l *life) logger() *slog.Logger {
	if l.Log == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(l.Log, nil))
}

// names is randomness that a seed decides.
type names struct {
	seed string
	n    int
	left []byte
}

func (n *names) Read(p []byte) (int, error) {
	for len(n.left) < len(p) {
		n.n++
		sum := sha256.Sum256(fmt.Append(nil, n.seed, n.n))
		n.left = append(n.left, sum[:]...)
	}
	n.left = n.left[copy(p, n.left):]
	return len(p), nil
}

// What a device promises, as marks in its log.
type (
	bootBegins   struct{}             // the bootloader's state is about to change
	bootPromised struct{ boot.State } // and is durable
	eventKept    struct{ wire.Event }
	floorKept    struct{ counter int64 }
	trustKept    struct{ floors }
)

// promised is a bootloader whose answers are promises.
type promised struct {
	player
	disk *Disk
	used func() // metadata was used for a decision
}

func (p *promised) promise() {
	if s, err := p.player.State(); err == nil && !s.Lost {
		p.disk.Mark(bootPromised{s})
	}
}

func (p *promised) change(f func() error) error {
	p.disk.Mark(bootBegins{})
	err := f()
	if err == nil {
		p.promise()
	}
	return err
}

// Forbid is what the agent does first when metadata has decided.
func (p *promised) Forbid(s boot.Slot) error {
	p.used()
	return p.change(func() error { return p.player.Forbid(s) })
}

func (p *promised) Try(s boot.Slot) error { return p.change(func() error { return p.player.Try(s) }) }
func (p *promised) Commit(s boot.Slot) error {
	return p.change(func() error { return p.player.Commit(s) })
}
func (p *promised) Cancel() error { return p.change(p.player.Cancel) }

func (l *life) observe(e wire.Event) {
	l.disk.Mark(eventKept{e})
	if e.State == wire.Committed {
		if r, err := readRecord(l.durable()); err == nil {
			l.disk.Mark(floorKept{r.Counter})
		}
	}
}

// promiseFloors: metadata was used for a decision.
func (l *life) promiseFloors() {
	if f, err := readFloors(l.durable()); err == nil {
		l.disk.Mark(trustKept{f})
	}
}

// floors is what this test reads of the client's.
type floors struct {
	Root, Timestamp, Snapshot struct {
		Version int64 `json:"version"`
	}
	Time time.Time
}

func (f floors) below(g floors) bool {
	return f.Root.Version < g.Root.Version || f.Timestamp.Version < g.Timestamp.Version || f.Snapshot.Version < g.Snapshot.Version || f.Time.Before(g.Time)
}

type record struct {
	Counter int64 `json:"counter"`
}

type journal struct {
	Slot    string `json:"slot"`
	Image   string `json:"image"`
	Durable []struct{ At, Length int64 }
}

func readPair(d durable.Disk, dir, name string, v any) error {
	b, err := d.LoadPair(dir, name)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func readFloors(d durable.Disk) (f floors, err error) {
	err = readPair(d, stateDir+"/image", "floors", &f)
	return f, err
}

func readRecord(d durable.Disk) (r record, err error) {
	err = readPair(d, stateDir, "record", &r)
	return r, err
}
