package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/simulator/fleet"
	"github.com/fairlead/fairlead/simulator/scenario"
)

const appText = `A scenario is a fleet of real agents on lines of all kinds, a real service, what happens to them, and what is expected.

  fairlead-sim list                                  the ready scenarios
  fairlead-sim run office-morning                    carry one out; report in ./fairlead-report-office-morning
  fairlead-sim run bad-release --units 1000 --seed 7
  fairlead-sim show slow-links > mine.yaml           to change it
  fairlead-sim check mine.yaml && fairlead-sim run mine.yaml
  fairlead-sim compare fairlead-report-a fairlead-report-b
  fairlead-sim fleet --help                          a fleet beside a service of your own

Exit codes: 0 done and held, 1 failure, 2 usage, 3 an expectation did not hold, 5 the scenario is not valid,
9 another process runs this fleet, 130 interrupted.`

var (
	errUsage       = errors.New("usage")
	errNotHeld     = errors.New("not every expectation held")
	errInterrupted = errors.New("interrupted; the report tells what was")
)

func exitCode(err error) int {
	for _, c := range []struct {
		err  error
		code int
	}{{errUsage, 2}, {errNotHeld, 3}, {scenario.ErrInvalid, 5}, {fleet.ErrRunning, 9}, {errInterrupted, 130}} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return 1
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w: %w", errUsage, err)
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name: "fairlead-sim", Usage: "whole fleets through the real update path, with faults and a report", Description: appText, Version: version,
		Writer: stdout, ErrWriter: stderr, OnUsageError: onUsageError, HideHelpCommand: true,
		ExitErrHandler: func(*cli.Context, error) {},
		Commands:       []*cli.Command{runCommand(), listCommand(), showCommand(), checkCommand(), compareCommand(), injectCommand(), fleetCommand()},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("%w: unknown command %q: see fairlead-sim --help", errUsage, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// arguments wants so many, with these names.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	got := c.Args().Slice()
	if len(got) != len(names) {
		return nil, fmt.Errorf("%w: want %d arguments, %v, and got %d: flags go first; see fairlead-sim %s --help", errUsage, len(names), names, len(got), c.Command.Name)
	}
	return got, nil
}
