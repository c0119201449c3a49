package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/simulator/virtual"
)

const runText = `NAME is a ready scenario (fairlead-sim list); a path with a / or .yaml is a file. The report is a folder with report.html,
report.json and units.csv. Ctrl-C ends the run with the report of what was; a second one ends it at once.

  fairlead-sim run office-morning
  fairlead-sim run --units 2000 --seed 7 --report out broker-restart
  fairlead-sim run --listen 127.0.0.1:9100 month-of-updates     metrics for Prometheus at /metrics; events by inject
  fairlead-sim run --json mine.yaml | jq .verdicts
  fairlead-sim run --over plain --units 20000 broker-restart    fleet and service in this process, without sockets and TLS
  fairlead-sim run --processes 4 --units 8000 slow-links        the fleet split over processes
  fairlead-sim run --virtual office-morning                     waiting takes no time; equal seeds give equal reports

A run keeps its fleet in the temporary folder: TMPDIR=/dev/shm makes large ones quicker.`

func runCommand() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "carry a scenario out, judge it, report", ArgsUsage: "NAME|FILE", Description: runText, OnUsageError: onUsageError,
		Flags: []cli.Flag{
			&cli.Uint64Flag{Name: "seed", Usage: "of everything random; 0 is the scenario's own"},
			&cli.IntFlag{Name: "units", Usage: "another number of units; 0 is the scenario's own"},
			&cli.BoolFlag{Name: "virtual", Usage: "in virtual time: waiting takes none, and equal seeds give equal results"},
			&cli.StringFlag{Name: "over", Usage: "`WAY` of connections: tcp; pipe, within this process; plain, and without TLS; default: the scenario's own"},
			&cli.IntFlag{Name: "processes", Usage: "split the fleet over so many, in real time and over tcp", Value: 1},
			&cli.PathFlag{Name: "report", Usage: "`FOLDER` for the report; default: fairlead-report-NAME"},
			&cli.PathFlag{Name: "keep", Usage: "keep fleet and service in this `FOLDER`, which must be empty"},
			&cli.StringFlag{Name: "listen", Usage: "serve metrics and take events at this `HOST:PORT`"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON, and nothing else"},
			&cli.BoolFlag{Name: "plain", Usage: "lines in the place of the live view"},
			&cli.BoolFlag{Name: "verbose", Usage: "log what the agents log"},
		},
		Action: runScenario,
	}
}

func runScenario(c *cli.Context) error {
	args, err := arguments(c, "NAME|FILE")
	if err != nil {
		return err
	}
	s, err := load(args[0])
	if err != nil {
		return err
	}
	s, err = s.With(scenario.Change{Seed: c.Uint64("seed"), Units: c.Int("units"), Over: c.String("over"), Virtual: c.Bool("virtual")})
	if err != nil {
		return err
	}
	processes := c.Int("processes")
	if processes > 1 && c.Bool("verbose") {
		return fmt.Errorf("%w: --verbose: nobody hears the agents of --processes %d", errUsage, processes)
	}
	if err := conduct.CheckProcesses(s, processes); err != nil {
		return err
	}
	dir, remove, err := workFolder(c.Path("keep"))
	if err != nil {
		return err
	}
	defer remove()
	r, err := carryOut(c, s, dir)
	if r == nil {
		return err
	}
	flags := flagged(c, "virtual") + flagged(c, "over")
	if processes > 1 {
		flags += fmt.Sprintf("--processes %d ", processes)
	}
	r.Repeat = fmt.Sprintf("fairlead-sim run --seed %d --units %d %s%s", s.Seed, s.Units, flags, args[0])
	return conclude(c, r, err)
}

// flagged is a flag as it was given, and a space; nothing if it was not.
func flagged(c *cli.Context, name string) string {
	switch {
	case !c.IsSet(name):
		return ""
	case c.Bool(name):
		return "--" + name + " "
	}
	return "--" + name + " " + c.String(name) + " "
}

// workFolder is where a run makes everything.
func workFolder(keep string) (dir string, remove func(), err error) {
	if keep != "" {
		if err := os.MkdirAll(keep, 0o700); err != nil {
			return "", nil, err
		}
		if all, err := os.ReadDir(keep); err != nil || len(all) > 0 {
			return "", nil, fmt.Errorf("%w: --keep %s: it is not an empty folder (%v)", errUsage, keep, err)
		}
		dir, err := filepath.Abs(keep)
		return dir, func() {}, err
	}
	dir, err = os.MkdirTemp("", "fairlead-sim-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

func carryOut(c *cli.Context, s *scenario.Scenario, dir string) (*report.Run, error) {
	v := newView(c, s)
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	events := make(chan scenario.Event)
	if address := c.String("listen"); address != "" {
		port, err := listen(ctx, address, s, events)
		if err != nil {
			return nil, err
		}
		defer port.close()
		v.port = port
		v.say("metrics at http://" + port.address + "/metrics")
	}
	log := slog.New(slog.DiscardHandler)
	if c.Bool("verbose") {
		log = slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	o := conduct.Options{Dir: dir, Log: log, Processes: c.Int("processes"), Version: version, Inject: events, Say: v.say, Sampled: v.sampled}
	if s.Time == scenario.VirtualTime {
		return virtual.Run(ctx, s, o)
	}
	return conduct.Run(ctx, s, o)
}

// conclude writes the report and says how it went: as failed says, if the run could not be carried out.
func conclude(c *cli.Context, r *report.Run, failed error) error {
	folder := c.Path("report")
	if folder == "" {
		folder = "fairlead-report-" + r.Name
	}
	if err := writeReport(folder, r); err != nil {
		return errors.Join(failed, err)
	}
	if c.Bool("json") {
		if err := r.WriteJSON(c.App.Writer); err != nil {
			return errors.Join(failed, err)
		}
	} else {
		summary(c.App.Writer, r, folder)
	}
	switch {
	case failed != nil:
		return failed
	case r.Interrupted:
		return errInterrupted
	case !r.OK():
		return errNotHeld
	}
	return nil
}

func writeReport(folder string, r *report.Run) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the report's folder: %w", err)
	}
	for name, write := range map[string]func(io.Writer) error{"report.html": r.WriteHTML, "report.json": r.WriteJSON, "units.csv": r.WriteCSV} {
		f, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// summary is the report in lines.
func summary(w io.Writer, r *report.Run, folder string) {
	fmt.Fprintln(w)
	for _, v := range r.Verdicts {
		mark := "held"
		if !v.OK {
			mark = "DID NOT HOLD"
		}
		fmt.Fprintf(w, "%-13s %s: %s\n", mark, v.Words, v.Found)
	}
	for _, e := range r.Events {
		if e.Error != "" {
			fmt.Fprintf(w, "%-13s %s: %s\n", "COULD NOT", e.Words, e.Error)
		}
	}
	for _, f := range r.Failures() {
		fmt.Fprintf(w, "%-13s %d units, such as %s: %s\n", f.State, f.Units, f.Unit, f.Example)
	}
	if r.Commit.Count > 0 {
		fmt.Fprintf(w, "time to commit: median %s, 99 %% %s, slowest %s, of %d updates\n", report.Seconds(r.Commit.P50), report.Seconds(r.Commit.P99),
			report.Seconds(r.Commit.Max), r.Commit.Count)
	}
	if !r.Virtual {
		costs(w, r)
	}
	if r.Bottleneck != "" {
		fmt.Fprintln(w, r.Bottleneck)
	}
	fmt.Fprintf(w, "report: %s\nseed %d; the same again: %s\n", filepath.Join(folder, "report.html"), r.Seed, r.Repeat)
}

func costs(w io.Writer, r *report.Run) {
	n := float64(max(r.Units, 1))
	fmt.Fprintf(w, "fleet: %s of processor time, %s for each unit, %s at most; service: %s, %s, %s\n",
		report.Seconds(r.Costs.FleetCPU), report.Seconds(r.Costs.FleetCPU/n), report.Bytes(r.Costs.FleetMem),
		report.Seconds(r.Costs.ServiceCPU), report.Seconds(r.Costs.ServiceCPU/n), report.Bytes(r.Costs.ServiceMem))
}
