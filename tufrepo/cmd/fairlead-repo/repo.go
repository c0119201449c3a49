package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
)

// Exit codes beyond 0.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitConflict = 3
	exitBusy     = 4
	exitRefused  = 5
	exitExpiring = 6
	exitTampered = 7
)

// errExpiring makes status exit with its own code; what expires stands in its output.
var errExpiring = errors.New("metadata expires soon, or is not renewed: see above")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, cmdline.FlagsFirst(app, args))
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted; running it again completes the work")
	}
	fmt.Fprintf(stderr, "fairlead-repo: %s\n", cmdline.Printable(err.Error()))
	code := exitCode(err)
	if code == exitUsage {
		fmt.Fprintln(stderr, "more: fairlead-repo COMMAND --help")
	}
	return code
}

func exitCode(err error) int {
	var coded cli.ExitCoder
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.Is(err, tufrepo.ErrConflict):
		return exitConflict
	case errors.Is(err, tufrepo.ErrBusy), errors.Is(err, durable.ErrLocked):
		return exitBusy
	case errors.Is(err, tufrepo.ErrRefused):
		return exitRefused
	case errors.Is(err, errExpiring):
		return exitExpiring
	case errors.Is(err, errTampered):
		return exitTampered
	}
	return exitFailure
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:   "fairlead-repo",
		Usage:  "publish signed firmware, and serve it to devices",
		Writer: stdout, ErrWriter: stderr,
		HideVersion: true,
		Description: `The repository is a folder, named by --repo or FAIRLEAD_REPO:

  fairlead-repo init --repo /srv/fairlead           makes it, with two online keys
  fairlead-repo publish --repo /srv/fairlead first  takes a signed bundle in
  fairlead-repo serve --repo /srv/fairlead          serves it, and renews what expires
  fairlead-repo status --repo /srv/fairlead         what is in it, and what expires when

Bundles are made and signed with fairlead-sign, on other machines.

Exit codes: 0 done, 1 failure, 2 usage, 3 the repository has moved on since the bundle was
made, 4 another publisher is at work or another process serves, 5 bundle refused,
6 something expires soon (status), 7 the audit log was changed (audit verify).`,
		Commands: append(repoCommands(), serviceCommands()...),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return serviceUsage("unknown command %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		OnUsageError:              func(_ *cli.Context, err error, _ bool) error { return serviceUsage("%v", err) },
		ExitErrHandler:            func(*cli.Context, error) {}, // run prints and main exits
		DisableSliceFlagSeparator: true,
	}
}

// repoCommands work on the repository's folder itself.
func repoCommands() []*cli.Command {
	return []*cli.Command{
		initCommand(), keyCommand(), publishCommand(), renewCommand(), gcCommand(), statusCommand(), packCommand(), mirrorCommand(), logCommand(), witnessCommand(),
	}
}

// openRepo opens the folder that --repo names.
func openRepo(c *cli.Context) (*tufrepo.Repo, error) {
	if c.String("repo") == "" {
		return nil, serviceUsage("--repo is missing")
	}
	return tufrepo.Open(c.String("repo"), tufrepo.Options{Log: serviceLog(c)})
}
