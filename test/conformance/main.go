package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/client"
)

func main() { os.Exit(run(os.Args, os.Stderr, dateCommand)) }

// run is the program, with the clock of its caller.
func run(args []string, stderr io.Writer, now func() (time.Time, error)) int {
	c := command{now: now}
	app := &cli.App{
		Name: "conformance", Usage: "client under test for tuf-conformance", HideHelpCommand: true,
		Writer: stderr, ErrWriter: stderr, ExitErrHandler: func(*cli.Context, error) {}, DisableSliceFlagSeparator: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "metadata-dir", Usage: "trusted metadata", Required: true},
			&cli.StringFlag{Name: "metadata-url", Usage: "where metadata is served"},
			&cli.StringSliceFlag{Name: "target-name", Usage: "path of a target, once or more"},
			&cli.StringFlag{Name: "target-base-url", Usage: "where targets are served"},
			&cli.StringFlag{Name: "target-dir", Usage: "where targets are kept"},
		},
		Commands: []*cli.Command{
			{Name: "init", ArgsUsage: "TRUSTED_ROOT", Usage: "start from a trusted root", Action: c.init},
			{Name: "refresh", Usage: "update the metadata", Action: c.refresh},
			{Name: "download", Usage: "update the metadata and get targets", Action: c.download},
		},
		Action: func(*cli.Context) error { return usage("name a command: init, refresh or download") },
	}
	err := app.Run(args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "conformance:", err)
	if failed := (failure{}); errors.As(err, &failed) {
		return 1
	}
	return 2
}

// failure is an error of the work, not of the command line.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func usage(text string) error { return errors.New(text) }

// command holds what the three commands share.
type command struct {
	now func() (time.Time, error)
}

// init keeps the trusted root; whether it is good shows at the first refresh.
func (c command) init(ctx *cli.Context) error {
	if ctx.NArg() != 1 {
		return usage("init takes the file of the trusted root")
	}
	root, err := os.ReadFile(ctx.Args().First())
	if err != nil {
		return failure{err}
	}
	dir := ctx.String("metadata-dir")
	if err := durable.MkdirAll(filepath.Join(dir, ".state"), 0o755); err != nil {
		return failure{err}
	}
	for _, path := range []string{pinnedRoot(dir), filepath.Join(dir, "root.json")} {
		if err := durable.WriteFile(path, root, 0o644); err != nil {
			return failure{err}
		}
	}
	return nil
}

func pinnedRoot(dir string) string { return filepath.Join(dir, ".state", "pinned.json") }

func (c command) refresh(ctx *cli.Context) error {
	return c.with(ctx, func(cl *client.Client) error {
		err := cl.Refresh(ctx.Context)
		var typed *client.Error
		if errors.As(err, &typed) && typed.Class == client.ErrConflict.Class && typed.Role == "timestamp" {
			return nil // specification 5.4.3
		}
		return err
	})
}

func (c command) download(ctx *cli.Context) error {
	dir, names := ctx.String("target-dir"), ctx.StringSlice("target-name")
	if dir == "" || len(names) == 0 || ctx.String("target-base-url") == "" {
		return usage("download needs --target-name, --target-base-url and --target-dir")
	}
	return c.with(ctx, func(cl *client.Client) error {
		if err := cl.Refresh(ctx.Context); err != nil {
			return err
		}
		for _, name := range names {
			if err := get(ctx.Context, cl, name, dir); err != nil {
				return err
			}
		}
		return nil
	})
}

// with opens the client, runs f, and makes failures of errors.
func (c command) with(ctx *cli.Context, f func(*client.Client) error) error {
	source, err := newSource(ctx)
	if err != nil {
		return err
	}
	cl, err := c.open(ctx.String("metadata-dir"), source)
	if err != nil {
		return failure{err}
	}
	if err := errors.Join(f(cl), cl.Close()); err != nil {
		return failure{err}
	}
	return nil
}

func (c command) open(dir string, source client.Source) (*client.Client, error) {
	root, err := os.ReadFile(pinnedRoot(dir))
	if err != nil {
		return nil, fmt.Errorf("run init first: %w", err)
	}
	now, err := c.now()
	if err != nil {
		return nil, err
	}
	return client.Open(client.Config{
		Dir: filepath.Join(dir, ".state"), Cache: dir, Root: root, Source: source, Clock: func() time.Time { return now },
	})
}

// source serves metadata and targets from two places.
type source struct {
	metadata, targets client.Source
}

func newSource(ctx *cli.Context) (client.Source, error) {
	metadata, err := url.Parse(ctx.String("metadata-url"))
	if err != nil || metadata.Host == "" {
		return nil, usage("--metadata-url is missing or not a URL")
	}
	targets, err := url.Parse(ctx.String("target-base-url"))
	if err != nil {
		return nil, usage("--target-base-url is not a URL")
	}
	return source{client.HTTPSource(metadata, nil, client.HTTPOptions{}), client.HTTPSource(targets, nil, client.HTTPOptions{})}, nil
}

func (s source) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if rest, ok := strings.CutPrefix(name, "metadata/"); ok {
		return s.metadata.Open(ctx, rest, offset, length)
	}
	return s.targets.Open(ctx, strings.TrimPrefix(name, "targets/"), offset, length)
}

// get brings one target into dir, unless it is there.
func get(ctx context.Context, cl *client.Client, name, dir string) error {
	t, err := cl.Target(ctx, name)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "target-"+url.PathEscape(name))
	if cached(t, path) {
		return nil
	}
	f, err := durable.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := cl.Fetch(ctx, t, f); err != nil {
		return err
	}
	return f.Commit()
}

func cached(t client.Target, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return t.Verify(f) == nil
}

// dateCommand asks date(1), because faketime reaches it.
func dateCommand() (time.Time, error) {
	out, err := exec.Command("date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date for the time: %w", err)
	}
	s, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date for the time: %w", err)
	}
	return time.Unix(s, 0).UTC(), nil
}
