package agent

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/health"
	"github.com/fairlead/fairlead/agent/install"
	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// Options are the world around an agent. The zero value is a real device's.
type Options struct {
	Log       *slog.Logger     // nil logs nothing
	Clock     func() time.Time // nil means time.Now
	Rand      func() float64   // in [0,1), for jitter; nil means math/rand/v2
	Version   string           // of the agent, MAJOR.MINOR.PATCH; releases may ask for one
	BuildTime time.Time        // no time before it is believed
	BootID    string           // of this boot; "" means the kernel's

	Disk     durable.Disk    // where the state folder and that of the bootloader are
	Names    io.Reader       // of randomness, for the names of updates and of outboxes; nil means crypto/rand
	Boot     boot.Bootloader // nil means the one of the configuration
	OpenSlot OpenSlot        // nil means install.OpenSlot
	OpenBase OpenBase        // nil means install.OpenBase
	Dial     Dial            // nil means net.Dialer's
	Secure   Secure          // nil means crypto/tls
	Health   []health.Check  // asked before the hooks
	Roots    *client.Roots   // shared by the agents of a simulated fleet; nil for a device
	CA       *x509.CertPool  // the same: what is in the file "ca" of the configuration
	Frames   *delta.Shared   // the same: what patches were found to make

	// Reboot reboots the system. It is called when everything is closed, and returns
	// when the system goes down, or why it does not. nil: Run returns ErrReboot, and
	// the reboot is the caller's.
	Reboot func(context.Context) error

	// Spare is called before an installation begins, to give back memory that is not needed during it. nil for nothing.
	Spare func()

	// Look is how often the clock and the people's answers are looked at while something
	// waits for either; 0 means 1 s.
	Look time.Duration
	// Idle is, at least, between looks at what nobody tells the agent: whether its link is in trouble, whether its certificate is
	// to be renewed. 0 leaves it at 30 s and 1 h.
	Idle time.Duration

	Retry    Retry
	Link     link.Timing // zero fields have the link's defaults, but for Poll: the configuration's
	Limits   install.Limits
	Progress func(install.Progress) // of downloads and of reading back; must be quick
	Observe  func(wire.Event)       // of each transition of an update; must be quick
	Notify   Notify
}

// OpenSlot opens a slot to write an image to, as install.OpenSlot does.
type OpenSlot func(path string, o install.SlotOptions) (install.Device, error)

// OpenBase opens the slot that runs, as install.OpenBase does.
type OpenBase func(path string) (Base, error)

// Base is a slot that is only read, to be patched. It may change at any time.
type Base interface {
	io.ReaderAt
	io.Closer
}

// Dial connects to the service, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Secure puts TLS on a connection to the service, as crypto/tls does; it is for simulators.
type Secure func(c net.Conn, cfg *tls.Config) link.Secured

// Retry is how an agent repeats what did not work: after a wait drawn from the upper half
// of Min, doubled each time up to Max. A zero field has its default.
type Retry struct {
	Min      time.Duration // 10 s
	Max      time.Duration // 1 h
	Attempts int           // in a row without a byte of progress, 24
}

// Notify tells whoever started the agent how it fares. nil functions are not called.
type Notify struct {
	Ready    func()            // once, when the state is reconciled
	Enrolled func()            // when the service has given the device an identity
	Status   func(line string) // what the agent does, for people
	Alive    func()            // every Every, as long as the agent turns its wheel
	Every    time.Duration
}

// Agent is one device. Its methods take the state folder for themselves for as long as
// they run, but for those that only look: Status, Slots and Identity.
type Agent struct {
	cfg      Config
	o        Options
	boot     boot.Bootloader
	throttle install.Throttle
	tpm      sync.Mutex // whose turn it is at the TPM
	mine     held
}

// New makes an agent. It reads and writes nothing yet but the bootloader's folder.
func New(c Config, o Options) (*Agent, error) {
	c = c.withDefaults()
	if err := c.Check(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: c, o: o.withDefaults(), boot: o.Boot}
	a.throttle.SetRate(c.Rate)
	if a.boot == nil {
		b, err := c.Bootloader.open(o.Disk)
		if err != nil {
			return nil, err
		}
		a.boot = b
	}
	return a, nil
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Names == nil {
		o.Names = cryptorand.Reader
	}
	if o.BootID == "" {
		o.BootID = kernelBootID()
	}
	if o.OpenSlot == nil {
		o.OpenSlot = install.OpenSlot
	}
	if o.OpenBase == nil {
		o.OpenBase = func(path string) (Base, error) { return install.OpenBase(path) }
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	if o.Look <= 0 {
		o.Look = time.Second
	}
	o.Version = strings.TrimPrefix(o.Version, "v")
	o.Retry = o.Retry.withDefaults()
	return o
}

func (r Retry) withDefaults() Retry {
	if r.Min <= 0 {
		r.Min = 10 * time.Second
	}
	if r.Max <= 0 {
		r.Max = time.Hour
	}
	if r.Attempts <= 0 {
		r.Attempts = 24
	}
	return r
}

// wait is before attempt n, counted from 1 for the first repetition.
func (r Retry) wait(n int, rand func() float64) time.Duration {
	d := r.Min
	for i := 1; i < n && d < r.Max; i++ {
		d *= 2
	}
	d = min(d, r.Max)
	return d/2 + time.Duration(rand()*float64(d/2))
}

// kernelBootID changes with every boot; empty where there is none.
func kernelBootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// path is a file or folder in the state folder.
func (a *Agent) path(name ...string) string {
	return filepath.Join(append([]string{a.cfg.State}, name...)...)
}

// clock is the time as far as it is known without the state folder.
func (a *Agent) clock() time.Time {
	now := a.o.Clock()
	if a.o.BuildTime.After(now) {
		now = a.o.BuildTime
	}
	return now.UTC()
}

// Pause has installations fetch nothing more until Resume, also one that is under way and those that begin meanwhile. What
// was fetched is still written, and nothing of it is fetched again. The next start of the agent resumes.
func (a *Agent) Pause() { a.hold(true) }

// Resume ends a pause.
func (a *Agent) Resume() { a.hold(false) }

func (a *Agent) hold(pause bool) {
	a.o.Log.Info("installations", "paused", pause)
	if pause {
		a.throttle.Pause()
	} else {
		a.throttle.Resume()
	}
}

// Run is the daemon. It returns nil when ctx ends, ErrReboot when the system is to be
// rebooted, ErrRunning when another agent runs. Whatever the network does, it goes on.
func (a *Agent) Run(ctx context.Context) error {
	s, err := a.open()
	if err != nil {
		return a.leave(ctx, a.cannotOpen(err))
	}
	err = newLoop(s).run(ctx)
	if closeErr := s.close(); closeErr != nil {
		a.o.Log.Warn("close", "error", closeErr)
	}
	return a.leave(ctx, err)
}

// leave is the end of Run, which may be a reboot.
func (a *Agent) leave(ctx context.Context, err error) error {
	if !errors.Is(err, ErrReboot) || a.o.Reboot == nil {
		return err
	}
	if err := a.o.Reboot(ctx); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return ErrReboot
}

// cannotOpen: a release on trial that does not even let the agent have its state folder is
// not one to keep. Otherwise it is for a person to see to.
func (a *Agent) cannotOpen(err error) error {
	b, bootErr := a.boot.State()
	if errors.Is(err, ErrRunning) || bootErr != nil || b.Lost || b.Trial != b.Running || b.Committed == b.Running {
		return err
	}
	a.o.Log.Error("the release on trial cannot be judged, going back", "error", err)
	if err := a.boot.Cancel(); err != nil {
		a.o.Log.Error("cancel the trial", "error", err)
	}
	return ErrReboot
}
