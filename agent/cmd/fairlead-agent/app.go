package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent"
)

// errUsage marks what the user typed wrong; errHelp that help was asked for and given.
var (
	errUsage = errors.New("wrong use")
	errHelp  = errors.New("help")
)

// command is one verb.
type command struct {
	name, usage string
	arguments   []string // those in brackets may be left out
	flags       func(*flag.FlagSet, *call)
	run         func(*call, *agent.Agent) error
}

// call is one use of the program: what was typed, and where to write.
type call struct {
	context.Context
	stdout, stderr io.Writer

	config, logFormat string
	json, version     bool

	release, claimFile string
	code, list         string // other claims
	reboot, progress   bool
	rate               int64 // below 0: the configuration's

	args    []string
	reboots bool // the configuration names a command
}

// run is main without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := execute(&call{Context: ctx, stdout: stdout, stderr: stderr, rate: -1}, args)
	if errors.Is(err, errHelp) {
		return 0
	}
	code := exitCode(err)
	if err != nil && code != exitNothing {
		fmt.Fprintf(stderr, "fairlead-agent: %v\n", err)
	}
	return code
}

// execute finds the verb among the flags, which may stand before and after it. The flag
// package of the standard library does; what the other tools of Fairlead use would be a
// fifth of this binary.
func execute(c *call, args []string) error {
	all := c.flagSet("fairlead-agent", nil)
	if err := c.parse(all, args); err != nil {
		return err
	}
	switch {
	case c.version:
		fmt.Fprintln(c.stdout, "fairlead-agent", version)
		return nil
	case all.NArg() == 0:
		c.help()
		return nil
	}
	at := slices.IndexFunc(commands(), func(cmd command) bool { return cmd.name == all.Arg(0) })
	if at < 0 {
		return fmt.Errorf("%w: unknown command %q: see fairlead-agent --help", errUsage, all.Arg(0))
	}
	return c.do(commands()[at], all.Args()[1:])
}

func (c *call) do(cmd command, args []string) error {
	set := c.flagSet("fairlead-agent "+cmd.name, cmd.flags)
	for rest := args; ; {
		if err := c.parse(set, rest); err != nil {
			return err
		}
		if set.NArg() == 0 {
			break
		}
		c.args, rest = append(c.args, set.Arg(0)), set.Args()[1:]
	}
	if len(c.args) > len(cmd.arguments) || len(c.args) < len(cmd.arguments) && cmd.arguments[len(c.args)][0] != '[' {
		return fmt.Errorf("%w: want fairlead-agent %s %s", errUsage, cmd.name, strings.Join(cmd.arguments, " "))
	}
	a, err := c.open(cmd.name)
	if err != nil {
		return err
	}
	return cmd.run(c, a)
}

// flagSet has the flags of every verb, and those of one. What was set before stays.
func (c *call) flagSet(name string, more func(*flag.FlagSet, *call)) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&c.config, "config", orElse(c.config, agent.DefaultPath), "configuration `file`")
	set.StringVar(&c.logFormat, "log-format", orElse(c.logFormat, "text"), "`text or json`, on stderr")
	set.BoolVar(&c.json, "json", c.json, "print JSON")
	set.BoolVar(&c.version, "version", c.version, "print the version")
	if more != nil {
		more(set, c)
	}
	return set
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (c *call) parse(set *flag.FlagSet, args []string) error {
	err := set.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		if set.Name() == "fairlead-agent" {
			c.help()
			return errHelp
		}
		fmt.Fprintf(c.stdout, "%s:\n", set.Name())
		set.SetOutput(c.stdout)
		set.PrintDefaults()
		return errHelp
	}
	if err != nil {
		return fmt.Errorf("%w: %w: see %s --help", errUsage, err, set.Name())
	}
	return nil
}

func (c *call) help() {
	fmt.Fprint(c.stdout, "fairlead-agent brings firmware to this device, proves that it works, or goes back.\n\nCommands:\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(c.stdout, "  %-16s %s\n", strings.Join(append([]string{cmd.name}, cmd.arguments...), " "), cmd.usage)
	}
	fmt.Fprint(c.stdout, "\nFlags of every command; COMMAND --help shows the others:\n\n")
	set := c.flagSet("", nil)
	set.SetOutput(c.stdout)
	set.PrintDefaults()
}

// open makes the agent of the configuration.
func (c *call) open(verb string) (*agent.Agent, error) {
	log, err := c.logger(verb)
	if err != nil {
		return nil, err
	}
	cfg, err := agent.LoadConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if c.rate >= 0 {
		cfg.Rate = c.rate
	}
	o := agent.Options{Log: log, Version: version, BuildTime: buildTime(), Progress: c.showProgress(time.Now), Spare: spareMemory}
	if c.reboots = len(cfg.Reboot) > 0; c.reboots {
		o.Reboot = rebooter(cfg.Reboot, log)
	}
	if verb == "run" {
		o.Notify, o.Progress = notify(log), nil
	}
	return agent.New(cfg, o)
}

func (c *call) logger(verb string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if verb == "run" {
		o.Level = slog.LevelInfo
	}
	switch c.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(c.stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.stderr, o)), nil
	}
	return nil, fmt.Errorf("%w: --log-format %q is neither text nor json", errUsage, c.logFormat)
}

// buildTime is when the source of this binary was committed: no clock before it is believed.
func buildTime() time.Time {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value) // zero if it says something else
			return t
		}
	}
	return time.Time{}
}
