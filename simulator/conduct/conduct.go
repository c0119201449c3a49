package conduct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/site"
)

// Options say how a scenario is carried out.
type Options struct {
	Dir     string        // empty folder for everything that a run makes
	Every   time.Duration // between samples; 0 means 500 ms, or as much as gives a long run some thousand of them
	Log     *slog.Logger  // what the agents say; nil for nobody
	Version string        // of the simulator, for the report
	// Virtual says that time is: package virtual sets it, and a scenario that asks for virtual time is refused without.
	Virtual bool
	// Processes is into how many of them the fleet is split, in real time and over TCP, with units for each; 0 and 1 are this one. Agents
	// log nothing then. Whoever asks for more calls [Child] first of all in its main.
	Processes int
	// Inject are events that somebody thinks of while the scenario runs; nil for nobody.
	Inject <-chan scenario.Event
	// Say is told in words what happens; nil for nobody.
	Say func(string)
	// Sampled is told each sample; nil for nobody.
	Sampled func(report.Sample)
}

// every is the time between two samples, unless there would be more than mostSamples.
const (
	every       = 500 * time.Millisecond
	mostSamples = 1000
	// odd keeps the times of samples of a long run from being those of events, as their order would be left to chance.
	odd = 1_000_003
)

// run is a scenario that is being carried out.
type run struct {
	Options
	s     *scenario.Scenario
	cast  *cast
	site  *site.Site
	fleet herd
	proxy *network.Proxy
	// exchange is what connects fleet and service in this process; nil for TCP.
	exchange *network.Exchange
	wall     wall
	tracker  *tracker
	sampler  *sampler
	images   map[string]string // files, by version
	rollout  map[string]string // ids, by version
	hostile  *hostiles
	out      *report.Run
	lastAt   time.Time // of the last event
	joined   float64   // seconds from the last event until as many were connected as expected; -1 for not yet
}

// Run carries a scenario out. Its error is that it could not be carried out; what became of its expectations stands in the
// report. When ctx ends the run ends, with the report of what was.
func Run(ctx context.Context, s *scenario.Scenario, o Options) (*report.Run, error) {
	r, err := newRun(s, o)
	if err != nil {
		return nil, err
	}
	if err := r.make(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err = r.live(ctx); err == nil {
		err = r.judge(context.WithoutCancel(ctx))
	}
	if err != nil {
		r.out.Conclude()
	}
	return r.out, errors.Join(err, r.close())
}

func newRun(s *scenario.Scenario, o Options) (*run, error) {
	if o.Virtual != (s.Time == scenario.VirtualTime) {
		return nil, fmt.Errorf("%s wants %s time, and this is another", s.Name, s.Time)
	}
	if err := CheckProcesses(s, o.Processes); err != nil {
		return nil, err
	}
	c, err := newCast(s)
	if err != nil {
		return nil, err
	}
	if o.Every <= 0 {
		o.Every = max(every, s.For.D()/mostSamples+odd)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &run{Options: o, s: s, cast: c, images: map[string]string{}, rollout: map[string]string{}, joined: -1, tracker: newTracker(c)}
	r.wall.begins = s.Begins.Time
	if s.Over != scenario.OverTCP {
		r.exchange = network.NewExchange(s.Over == scenario.OverPlain)
	}
	r.out = &report.Run{Processes: max(o.Processes, 1), Name: s.Name, About: s.About, Seed: s.Seed, Version: o.Version, Units: s.Units, Processors: runtime.GOMAXPROCS(0), Virtual: o.Virtual}
	return r, nil
}

// CheckProcesses refuses a fleet that cannot be split into so many processes, or takes more files than this one may have.
func CheckProcesses(s *scenario.Scenario, n int) error {
	switch {
	case n <= 1:
		return fleet.CheckFiles(s.Units, s.Over != scenario.OverTCP)
	case n > MaxProcesses || n > s.Units:
		return fmt.Errorf("%w: %d processes: want %d at most, and a unit for each", scenario.ErrInvalid, n, MaxProcesses)
	case s.Over != scenario.OverTCP:
		return fmt.Errorf("%w: several processes reach a service by sockets only: take over: %s, in real time", scenario.ErrInvalid, scenario.OverTCP)
	}
	return nil
}

func (r *run) say(format string, args ...any) {
	if r.Say != nil {
		r.Say(fmt.Sprintf(format, args...))
	}
}

// unpaced is more connections a second than there are: the turns of those that come at the same moment would be left to chance.
const unpaced = 1e12

// agentLooks is the number of times that an agent looks, in virtual time, at what nobody tells it.
const agentLooks = 100

// virtualLooks is the number of times that a service in virtual time looks for what is due by itself. Looking is what takes
// the processor when a month passes.
const virtualLooks = 1000

// make makes everything that is there before the fleet.
func (r *run) make(ctx context.Context) (err error) {
	r.say("making keys, a repository and %d releases", len(r.s.Releases))
	accept, look := r.s.Timing.Accept, time.Duration(0)
	if r.out.Virtual {
		accept, look = unpaced, max(r.s.For.D()/virtualLooks, time.Second)
	}
	r.site, err = site.Make(ctx, site.Options{
		Dir: filepath.Join(r.Dir, "site"), Product: scenario.Product, Hardware: r.hardware(), AcceptRate: accept,
		Exchange: r.exchange, NoBroker: !r.speaksMQTT(), Look: look,
	})
	if err != nil {
		return err
	}
	if err := r.makeImages(); err != nil {
		return err
	}
	for _, release := range r.s.Releases {
		if !r.publishedLater(release.Version) {
			if err := r.publish(ctx, release); err != nil {
				return err
			}
		}
	}
	if err := r.site.Start(ctx); err != nil {
		return err
	}
	if err := r.site.Admit(ctx, r.s.Units); err != nil {
		return err
	}
	if r.proxy, err = network.StartProxy(ctx, r.exchange); err != nil {
		return err
	}
	return r.makeFleet(ctx)
}

// speaksMQTT reports whether any unit does.
func (r *run) speaksMQTT() bool {
	return slices.ContainsFunc(r.s.Fleet, func(k scenario.Kind) bool { return k.Transport != "poll" })
}

// hardware is all that there is in the fleet.
func (r *run) hardware() []string {
	all := []string{scenario.Hardware}
	for _, k := range r.s.Fleet {
		if k.Hardware != "" && k.Hardware != scenario.Hardware {
			all = append(all, k.Hardware)
		}
	}
	return all
}

func (r *run) makeImages() (err error) {
	for i, release := range r.s.Releases {
		path := release.Image
		if path == "" {
			im := r.s.Images
			path, err = r.site.MakeImage(site.Image{Size: int64(im.Size), Used: float64(im.Used), Changed: float64(im.Changed), Number: i, Seed: r.s.Seed})
		}
		if err != nil {
			return err
		}
		r.images[release.Version] = path
	}
	return nil
}

func (r *run) publishedLater(version string) bool {
	for _, e := range r.s.Events {
		if e.Publish == version {
			return true
		}
	}
	return false
}

func (r *run) publish(ctx context.Context, release scenario.Release) error {
	patches := 1
	if release.Patches != nil {
		patches = *release.Patches
	}
	return r.site.Publish(ctx, site.Release{
		Version: release.Version, Image: r.images[release.Version], Hardware: release.Hardware, MinAgent: release.MinAgent, Patches: patches,
		Counter: counter(r.s, release.Version),
	})
}

// idle is how often agents look at what nobody tells them: seldom where looking is what takes the processor.
func (r *run) idle() time.Duration {
	if !r.out.Virtual {
		return 0
	}
	return r.s.For.D() / agentLooks
}

// close ends what is left.
func (r *run) close() error {
	var errs []error
	if r.fleet != nil {
		errs = append(errs, r.fleet.close())
	}
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	if r.site != nil {
		errs = append(errs, r.site.Stop())
	}
	return errors.Join(errs...)
}
