package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/delta"
	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
	"github.com/fairlead/fairlead/tufrepo/tlog/monitor"
)

// Exit codes.
const (
	exitFailure    = 1
	exitUsage      = 2
	exitPassphrase = 3
	exitUnsigned   = 4
	exitRefused    = 5
	exitUnknown    = 6 // the log has entries that nobody announced
	exitTwoFaces   = 7 // the log is not one log
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, cmdline.FlagsFirst(app, args))
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted; nothing was left half made")
	}
	fmt.Fprintf(stderr, "fairlead-sign: %s\n", cmdline.Printable(err.Error()))
	if errors.As(err, new(usageError)) {
		fmt.Fprintln(stderr, "more: fairlead-sign COMMAND --help")
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case errors.As(err, new(usageError)), errors.Is(err, signer.ErrAnchor), errors.Is(err, keyref.ErrReference):
		return exitUsage
	case errors.Is(err, keyfile.ErrPassphrase), errors.Is(err, keyref.ErrPIN):
		return exitPassphrase
	case errors.Is(err, signer.ErrRefused), errors.Is(err, keyfile.ErrPermissions),
		errors.Is(err, firmware.ErrCorrupt), errors.Is(err, firmware.ErrFormat), errors.Is(err, delta.ErrBase):
		return exitRefused
	case errors.Is(err, signer.ErrUnsigned):
		return exitUnsigned
	case errors.Is(err, errUnannounced):
		return exitUnknown
	case errors.Is(err, monitor.ErrTwoFaces):
		return exitTwoFaces
	}
	return exitFailure
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:   "fairlead-sign",
		Usage:  "sign firmware with keys that never leave your custody",
		Writer: stdout, ErrWriter: stderr,
		HideVersion: true,
		Description: `It works offline, on files. What travels between people is a folder, the bundle:

  fairlead-sign key new alice                       each person, once
  fairlead-sign root new --out first ...            the first root: who may sign what
  fairlead-sign product add cam --bundle first ...  a product and its keys
  fairlead-sign sign first --key alice.key          each person, on their own machine
  fairlead-repo publish ... first                   on the repository's machine
  fairlead-sign release --repo REPO ... --out r1    an image becomes a release

Exit codes: 0 done, 1 failure, 2 usage, 3 wrong passphrase or PIN, 4 signatures are still
missing (verify), 5 refused, 6 the log has entries that nobody announced (monitor), 7 the log shows
two faces (monitor).`,
		Commands: []*cli.Command{
			keyCommand(), rootCommand(), productCommand(), releaseCommand(), promoteCommand(), renewCommand(), signCommand(), mergeCommand(),
			logPolicyCommand(), monitorCommand(), statusCommand(), inspectCommand(), verifyCommand(), artifactCommand(), deltaCommand(),
		},
		Action:                    unknownCommand,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {},
		DisableSliceFlagSeparator: true, // a hardware string may have commas
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

func unknownCommand(c *cli.Context) error {
	if c.Args().Present() {
		return usage("unknown command %q", c.Args().First())
	}
	return cli.ShowAppHelp(c)
}

// group is a command that only has subcommands.
func group(name, about string, subcommands ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name: name, Usage: about, Subcommands: subcommands, OnUsageError: onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("unknown command %q", name+" "+c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// command is a leaf: examples stand in the description.
func command(name, about, args, examples string, flags []cli.Flag, action cli.ActionFunc) *cli.Command {
	return &cli.Command{
		Name: name, Usage: about, ArgsUsage: args, Description: examples, Flags: flags, Action: action,
		OnUsageError: onUsageError,
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON"}
}

// expiresFlag is for everything that is drafted.
func expiresFlag() cli.Flag {
	return &cli.StringFlag{Name: "expires", Usage: "valid for this long, such as 365d or 36h", Value: "365d"}
}

func baseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "repo", Usage: "repository `FOLDER`; a copy that holds only its folder metadata will do"},
		&cli.StringFlag{Name: "root", Usage: "root `FILE` that you trust; default: the repository's first"},
	}
}

// clockFlag is for what is drafted or signed upon a base.
func clockFlag() cli.Flag {
	return &cli.BoolFlag{Name: "trust-clock", Usage: "this machine's clock is right, whatever the files say of the time"}
}

// arguments wants exactly the named arguments.
func arguments(c *cli.Context, names ...string) ([]string, error) {
	got := c.Args().Slice()
	if len(got) < len(names) {
		return nil, usage("%s is missing", names[len(got)])
	}
	if len(got) > len(names) {
		return nil, usage("unexpected argument %q", got[len(names)])
	}
	return got, nil
}

// required wants the named flags to be set.
func required(c *cli.Context, flags ...string) error {
	for _, name := range flags {
		if !c.IsSet(name) {
			return usage("--%s is missing", name)
		}
	}
	return nil
}

func readBase(c *cli.Context) (*signer.Base, error) {
	if err := required(c, "repo"); err != nil {
		return nil, err
	}
	base, err := signer.ReadBase(c.String("repo"), c.String("root"))
	if err == nil && c.Bool("trust-clock") {
		base.TrustClock()
	}
	return base, err
}

// show prints the result: JSON if that is asked for, else what text writes.
func show(c *cli.Context, v any, text func(io.Writer) error) error {
	if !c.Bool("json") {
		return text(c.App.Writer)
	}
	e := json.NewEncoder(c.App.Writer)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// showDraft prints what was drafted, and its warnings.
func showDraft(c *cli.Context, d *signer.Draft) error {
	for _, w := range d.Warnings {
		fmt.Fprintf(c.App.ErrWriter, "warning: %s\n", w)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(c.App.ErrWriter, "note: %s\n", n)
	}
	return show(c, d, func(w io.Writer) error { return d.WriteText(w, time.Now()) })
}
