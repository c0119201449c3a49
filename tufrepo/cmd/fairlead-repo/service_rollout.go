package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/rollout"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func rolloutCommand() *cli.Command {
	return serviceGroup("rollout", "bring a release to a fleet, phase by phase",
		serviceLeaf("plan", "write an example of a plan, to be changed", "[FILE]",
			`Examples:

  fairlead-repo rollout plan plan.json
  fairlead-repo rollout plan

A plan says in which phases, at which times and how carefully devices are directed. It does
not name the release, so one serves many. docs/formats.md, "Rollout plan", has all members.`, rolloutPlan),
		serviceLeaf("start", "start a rollout, or with --dry-run show what it would do", " ",
			`Examples:

  fairlead-repo rollout start --repo REPO --tenant acme --release base/1.1.0 --plan plan.json --dry-run
  fairlead-repo rollout start --repo REPO --tenant acme --release base/1.1.0 --plan plan.json
  fairlead-repo rollout start --repo REPO --tenant acme --release base/1.1.0 --plan plan.json --fallback 1.0.1

--dry-run prints an id. A rollout that is started with --id and the same id has the same
devices in its phases, as long as the fleet is the same. --fallback names the version to go
back to: an earlier image, published again with a release counter that is not lower. The
tenant's settings must allow it.`,
			rolloutStart, rolloutFlags(
				&cli.StringFlag{Name: "release", Usage: "`PRODUCT/VERSION`"},
				&cli.StringFlag{Name: "plan", Usage: "`FILE` with the plan"},
				&cli.StringFlag{Name: "fallback", Usage: "`VERSION` to go back to"},
				&cli.StringFlag{Name: "id", Usage: "`UUID` of the rollout, as --dry-run has printed it"},
				&cli.BoolFlag{Name: "dry-run", Usage: "change nothing; say who would be in which phase, and who is left out and why"},
				&cli.IntFlag{Name: "devices", Usage: "with --dry-run: name `N` devices of each phase", Value: 5})...),
		serviceLeaf("list", "list rollouts, the newest first", " ",
			`Examples:

  fairlead-repo rollout list --repo REPO --tenant acme
  fairlead-repo rollout list --repo REPO --tenant acme --open --json`,
			rolloutList, rolloutFlags(
				&cli.BoolFlag{Name: "open", Usage: "only those that have not finished"},
				&cli.StringFlag{Name: "device", Usage: "only those that have this device, by `ID`"})...),
		serviceLeaf("show", "show how a rollout stands, and why devices failed", "ID",
			`Example:

  fairlead-repo rollout show ID --repo REPO --tenant acme

The beginning of an id is enough, where no other rollout begins so.`, rolloutShow, rolloutFlags()...),
		serviceLeaf("devices", "list the devices of a rollout", "ID",
			`Example:

  fairlead-repo rollout devices ID --repo REPO --tenant acme --state failed

States: waiting, asked, agreed, deferred, directed, updating, reverting, staged, committed,
already, reverted, failed, silent, declined, excluded.`,
			rolloutDevices, rolloutFlags(&cli.StringFlag{Name: "state", Usage: "only those in this `STATE`"}, limitFlag())...),
		rolloutWatchCommand(),
		rolloutOrderCommand("pause", "begin nothing more; updates under way go on", reasonFlag()),
		rolloutOrderCommand("resume", "go on after a pause; failures count from here"),
		rolloutOrderCommand("abort", "end it; what has not come to the reboot is taken back", reasonFlag()),
		rolloutOrderCommand("rollback", "direct the devices that were updated to the fallback", reasonFlag()),
		rolloutOrderCommand("retry", "let devices that failed, fell silent or declined try again",
			&cli.StringSliceFlag{Name: "device", Usage: "`ID` of a device, may be repeated; default: all of them"}),
		rolloutOrderCommand("approve", "give the approval that the current phase waits for", phaseFlag()),
		rolloutOrderCommand("advance", "end the current phase whatever it waits for, successes included", phaseFlag()),
	)
}

func rolloutFlags(more ...cli.Flag) []cli.Flag {
	return clientFlags(append(more, &cli.StringFlag{Name: "tenant", Usage: "`NAME` of the tenant", EnvVars: []string{"FAIRLEAD_TENANT"}})...)
}

func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "`WORDS` for those who look at it later"}
}

func phaseFlag() cli.Flag {
	return &cli.StringFlag{Name: "phase", Usage: "`NAME` of the phase; it must be the current one"}
}

func limitFlag() cli.Flag {
	return &cli.IntFlag{Name: "limit", Usage: "at most `N`; 0 for all", Value: 1000}
}

// rolloutOrderCommand is a command that asks something of a rollout.
func rolloutOrderCommand(verb, about string, flags ...cli.Flag) *cli.Command {
	example := "fairlead-repo rollout " + verb + " ID --repo REPO --tenant acme"
	for _, f := range flags {
		switch f.Names()[0] {
		case "reason":
			example += ` --reason "the fan does not start"`
		case "phase":
			example += " --phase canary"
		}
	}
	return serviceLeaf(verb, about, "ID", "Example:\n\n  "+example, func(c *cli.Context) error { return rolloutOrder(c, verb) }, rolloutFlags(flags...)...)
}

func rolloutOrder(c *cli.Context, verb string) error {
	path, err := rolloutPath(c)
	if err != nil {
		return err
	}
	o := api.RolloutOrder{Reason: c.String("reason"), Devices: c.StringSlice("device"), Phase: c.String("phase")}
	if (verb == "approve" || verb == "advance") && o.Phase == "" {
		return serviceUsage("--phase is missing: say which phase, so that it is not the next one by accident")
	}
	out, err := asked[api.Rollout](c, "POST", path+"/"+verb, o)
	if err != nil {
		return err
	}
	return showRollout(c, out, nil)
}

func examplePlan() string {
	return `{ "schema": 1, "in_flight": 500, "per_minute": 60, "silent_after": "24h",
  "phases": [
    {"name": "canary", "canary": true, "count": 5, "soak": "24h", "approval": true},
    {"name": "tenth", "percent": 10, "soak": "24h"},
    {"name": "all", "percent": 100}],
  "pause": {"percent": 5, "sample": 20},
  "zone": "Europe/Berlin", "windows": [{"days": ["mon", "tue", "wed", "thu"], "from": "22:00", "to": "05:00"}] }
`
}

func rolloutPlan(c *cli.Context) error {
	if c.NArg() > 1 {
		return serviceUsage("give one file, not %d arguments", c.NArg())
	}
	if !c.Args().Present() {
		_, err := io.WriteString(c.App.Writer, examplePlan())
		return err
	}
	path := c.Args().First()
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already and is left alone: give another name", path)
	}
	return durable.WriteFile(path, []byte(examplePlan()), 0o644)
}

// uuidLength is that of a whole id; what is shorter is the beginning of one.
const uuidLength = 36

// rolloutPath is the path of the rollout that the argument names.
func rolloutPath(c *cli.Context) (string, error) {
	id, err := oneArgument(c, "rollout")
	if err != nil {
		return "", err
	}
	base, err := tenantPath(c, "/rollouts")
	if err != nil || len(id) >= uuidLength {
		return base + "/" + url.PathEscape(id), err
	}
	all, err := asked[api.Rollouts](c, "GET", base+"?limit=10000", nil)
	if err != nil {
		return "", err
	}
	found := ""
	for _, r := range all.Rollouts {
		if !strings.HasPrefix(r.ID, id) {
			continue
		}
		if found != "" {
			return "", serviceUsage("%s is the beginning of several rollouts: write more of it", id)
		}
		found = r.ID
	}
	if found == "" {
		return "", fmt.Errorf("tenant %s has no rollout %s", c.String("tenant"), id)
	}
	return base + "/" + found, nil
}

func rolloutStart(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	path, err := tenantPath(c, "/rollouts")
	if err != nil {
		return err
	}
	product, version, ok := strings.Cut(c.String("release"), "/")
	if !ok || product == "" || version == "" {
		return serviceUsage("--release %q is not PRODUCT/VERSION", c.String("release"))
	}
	plan, err := readPlan(c.String("plan"))
	if err != nil {
		return err
	}
	in := api.NewRollout{ID: c.String("id"), Plan: plan, Product: product, Version: version, Fallback: c.String("fallback")}
	if c.Bool("dry-run") {
		out, err := asked[api.Preview](c, "POST", fmt.Sprintf("%s/preview?devices=%d", path, c.Int("devices")), in)
		if err != nil {
			return err
		}
		return showPreview(c, out)
	}
	out, err := asked[api.Rollout](c, "POST", path, in)
	if err != nil {
		return err
	}
	return showRollout(c, out, nil)
}

// readPlan reads and checks a plan here, where the file's name is known.
func readPlan(path string) ([]byte, error) {
	if path == "" {
		return nil, serviceUsage("--plan is missing: fairlead-repo rollout plan writes an example")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, rollout.MaxSpec+1))
	if err == nil {
		_, err = rollout.Parse(b)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
