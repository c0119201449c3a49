package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// serviceCommands run a service and talk to a running one.
func serviceCommands() []*cli.Command {
	return []*cli.Command{
		serveCommand(), enrollCommand(), settingsCommand(), backupCommand(), restoreCommand(), sealKeyCommand(), acceptOlderCommand(),
		tenantCommand(), claimCommand(), deviceCommand(), groupCommand(), rolloutCommand(), directCommand(), reportCommand(),
		tokenCommand(), roleCommand(), grantCommand(), auditCommand(),
	}
}

// serviceUsage is a command line that makes no sense; its exit code is 2.
func serviceUsage(format string, args ...any) error {
	return cli.Exit(fmt.Errorf(format, args...).Error(), 2)
}

// serviceLeaf is a command of this file's kind: examples stand in the description.
func serviceLeaf(name, about, args, examples string, action cli.ActionFunc, flags ...cli.Flag) *cli.Command {
	flags = append(flags, &cli.BoolFlag{Name: "json", Usage: "print JSON"})
	return &cli.Command{Name: name, Usage: about, ArgsUsage: args, Description: examples, Flags: flags, Action: action,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return serviceUsage("%v", err) }}
}

// serviceGroup is a command that only has subcommands.
func serviceGroup(name, about string, subcommands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: about, Subcommands: subcommands,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return serviceUsage("unknown command %q", name+" "+c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		}}
}

func serviceRepoFlag() cli.Flag {
	return &cli.StringFlag{Name: "repo", Usage: "repository `FOLDER`", EnvVars: []string{"FAIRLEAD_REPO"}}
}

// clientFlags say where a running service is.
func clientFlags(more ...cli.Flag) []cli.Flag {
	return append(more, serviceRepoFlag(),
		&cli.StringFlag{Name: "service", Usage: "`URL` of the operator port; default: the one that serves --repo", EnvVars: []string{"FAIRLEAD_SERVICE"}},
		&cli.StringFlag{Name: "token-file", Usage: "`FILE` with an API token; default: FAIRLEAD_TOKEN, which holds the token itself, else the one of --repo", EnvVars: []string{"FAIRLEAD_TOKEN_FILE"}})
}

// maxTokenFile bounds the small files that are read here, in bytes.
const maxTokenFile = 4 << 10

// serviceClient finds the running service and the token to use.
func serviceClient(c *cli.Context) (api.Client, error) {
	url, repo := c.String("service"), c.String("repo")
	token, err := serviceToken(c)
	if err != nil {
		return api.Client{}, err
	}
	if repo == "" && (url == "" || token == "") {
		return api.Client{}, serviceUsage("say where the service is: --repo FOLDER, or --service URL and --token-file FILE or FAIRLEAD_TOKEN")
	}
	if url == "" {
		text, err := readSmall(filepath.Join(service.StateDir(repo), service.AddrFile))
		if err != nil {
			return api.Client{}, fmt.Errorf("finding the service of %s (was fairlead-repo serve ever started there?): %w", repo, err)
		}
		url = text
	}
	if token == "" {
		if token, err = readSmall(filepath.Join(service.StateDir(repo), service.TokenFile)); err != nil {
			return api.Client{}, fmt.Errorf("reading the token of this machine (name another with --token-file or FAIRLEAD_TOKEN): %w", err)
		}
	}
	return api.Client{URL: url, Token: token}, nil
}

// serviceToken is the token that the caller names, or empty.
func serviceToken(c *cli.Context) (string, error) {
	path := c.String("token-file")
	if path == "" {
		return strings.TrimSpace(os.Getenv("FAIRLEAD_TOKEN")), nil
	}
	text, err := readSmall(path)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	return text, nil
}

func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	return strings.TrimSpace(string(b)), err
}

// asked makes one request to the running service.
func asked[T any](c *cli.Context, method, path string, in any) (out T, err error) {
	client, err := serviceClient(c)
	if err != nil {
		return out, err
	}
	return out, client.Do(c.Context, method, path, in, &out)
}

// serviceShow prints v as JSON if that is asked for, else as rows.
func serviceShow(c *cli.Context, v any, rows func(w io.Writer)) error {
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
	rows(w)
	return w.Flush()
}

// row prints the cells of a table's row; an empty cell is a dash.
func row(w io.Writer, cells ...any) {
	for i, cell := range cells {
		text := fmt.Sprint(cell)
		if text == "" {
			text = "-"
		}
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, text)
	}
	fmt.Fprintln(w)
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// serviceDuration reads a duration that may be in days, such as 30d or 36h.
func serviceDuration(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n < 10_000 {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, serviceUsage("--%s %q: give a time such as 24h or 30d", flag, text)
	}
	return d, nil
}

// oneArgument wants exactly one argument.
func oneArgument(c *cli.Context, what string) (string, error) {
	if c.NArg() != 1 {
		return "", serviceUsage("give one %s, not %d arguments", what, c.NArg())
	}
	return c.Args().First(), nil
}

// noArguments wants none.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return serviceUsage("unexpected argument %q", c.Args().First())
	}
	return nil
}

// serviceLog logs to stderr; --verbose shows what is normal too.
func serviceLog(c *cli.Context) *slog.Logger { return serviceLogTo(c, c.App.ErrWriter) }

func serviceLogTo(c *cli.Context, w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

var errRefused = errors.New("not everything was directed: the reasons stand above; --force directs it all the same")
