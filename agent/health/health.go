package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrUnhealthy is what Run returns, wrapped, when a check said no, when a hook is not fit to be run, or at the deadline.
var ErrUnhealthy = errors.New("unhealthy")

// DefaultDeadline is the time all checks have together.
const DefaultDeadline = 5 * time.Minute

// A Check is one question that the agent asks itself. Run returns nil for yes. It may wait for the answer to become yes,
// until its context ends.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// Config says what is asked, and of what.
type Config struct {
	Hooks    string        // folder of the product's hooks; "" for none
	Deadline time.Duration // for all checks together; 0 means DefaultDeadline
	Builtin  []Check       // asked before the hooks, in this order

	Product, Version, Slot string // what is on trial; told to hooks

	Env []string     // more environment for hooks, each NAME=value
	Log *slog.Logger // nil logs nothing
}

// Result is the answer of one check. Its JSON form is part of reports.
type Result struct {
	Name     string        `json:"name"`
	OK       bool          `json:"ok"`
	Duration time.Duration `json:"duration"`         // nanoseconds
	Output   string        `json:"output,omitempty"` // end of what it printed, or why it could not be run; at most 1 KiB of UTF-8
}

// Run asks everything and returns the answers so far in any case. Its error is nil if all said yes; it wraps
// ErrUnhealthy if one did not or the deadline passed; and it is the cause of ctx's end if the caller ended the run, which says
// nothing about the system's health.
func Run(ctx context.Context, c Config) ([]Result, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Deadline <= 0 {
		c.Deadline = DefaultDeadline
	}
	limited, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	checks, err := c.checks()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnhealthy, err)
	}
	var results []Result
	for _, check := range checks {
		r, err := ask(limited, check)
		results = append(results, r)
		c.Log.Info("health check", "name", r.Name, "ok", r.OK, "duration", r.Duration, "output", r.Output)
		if ctx.Err() != nil {
			return results, fmt.Errorf("health checks were stopped: %w", context.Cause(ctx))
		}
		if err != nil {
			return results, c.unhealthy(limited, r.Name, err)
		}
	}
	return results, nil
}

// checks lists the agent's own checks and the hooks, as the same kind of thing.
func (c *Config) checks() ([]probe, error) {
	var all []probe
	for _, b := range c.Builtin {
		all = append(all, probe{b.Name, func(ctx context.Context) (string, error) { return "", b.Run(ctx) }})
	}
	hooks, err := findHooks(c.Hooks)
	if err != nil {
		return nil, err
	}
	for _, path := range hooks {
		all = append(all, c.hook(path))
	}
	return all, nil
}

// probe is a check that may have printed something.
type probe struct {
	name string
	run  func(context.Context) (output string, err error)
}

func ask(ctx context.Context, p probe) (Result, error) {
	start := time.Now()
	var output string
	err := context.Cause(ctx)
	if err == nil {
		output, err = p.run(ctx)
	}
	if err != nil && output == "" {
		output = err.Error()
	}
	return Result{Name: p.name, OK: err == nil, Duration: time.Since(start), Output: clip(output)}, err
}

func (c *Config) unhealthy(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %s had no answer within %v for all checks together: %w", ErrUnhealthy, name, c.Deadline, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnhealthy, name, err)
}
