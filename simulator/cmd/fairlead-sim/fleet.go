package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/simulator/fleet"
)

const fleetText = `Each unit has a key, a certificate, two slots, a bootloader and a state folder of its own, and runs the
agent that devices run. It enrols with a claim token, takes directions, installs, reboots, proves itself.

  fairlead-sim fleet --dir fleet --units 20 --service https://localhost:8443 --ca ca.pem --root 1.root.json \
      --claim-file claim --product base-unit --hardware bu-100 --image rootfs-1.0.0.img --release 1.0.0

Ctrl-C powers the fleet off; the same command powers it on again where it was, also after the process was killed. A unit's folder holds an
agent.json with which fairlead-agent runs on it as well.

  fairlead-sim fleet ... --sick unit-007=1.2.0     a unit that is not healthy with release 1.2.0
  fairlead-sim fleet ... --part 2/3                every third unit, from unit-002 on, in this process; others have the rest
  fairlead-sim fleet ... --json                    an event a line, for programs`

func fleetCommand() *cli.Command {
	return &cli.Command{
		Name: "fleet", Usage: "power a fleet on beside a service that runs, until Ctrl-C", Description: fleetText, Flags: fleetFlags(),
		OnUsageError: onUsageError, Action: runFleet,
	}
}

func fleetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.PathFlag{Name: "dir", Usage: "`FOLDER` of the fleet", Value: "fleet"},
		&cli.IntFlag{Name: "units", Usage: "how many base units", Value: 20},
		&cli.StringFlag{Name: "part", Usage: "have part `K/N` of the units, such as 2/3; other processes, with the same folder or on other machines, have the others"},
		&cli.StringFlag{Name: "service", Usage: "`URL` of the service"},
		&cli.PathFlag{Name: "ca", Usage: "`FILE` with the certificates that vouch for the service"},
		&cli.PathFlag{Name: "root", Usage: "`FILE` with the image repository's first root"},
		&cli.PathFlag{Name: "claim-file", Usage: "`FILE` with the claim token"},
		&cli.StringFlag{Name: "product", Usage: "product of the units"},
		&cli.StringFlag{Name: "hardware", Usage: "hardware of the units"},
		&cli.PathFlag{Name: "image", Usage: "`FILE` that is in slot a from the factory"},
		&cli.StringFlag{Name: "release", Usage: "version of that image"},
		&cli.Int64Flag{Name: "counter", Usage: "release counter of that image", Value: 1},
		&cli.Int64Flag{Name: "slot-size", Usage: "capacity of a slot in bytes; 0 is 1.25 times the image"},
		&cli.DurationFlag{Name: "poll", Usage: "time between polls while MQTT is up", Value: agent.DefaultPoll},
		&cli.DurationFlag{Name: "fallback-poll", Usage: "time between polls while MQTT is down", Value: 5 * time.Minute},
		&cli.DurationFlag{Name: "retry-wait", Usage: "least wait before a failed download is tried again", Value: 10 * time.Second},
		&cli.DurationFlag{Name: "health-deadline", Usage: "for the health checks of a new release", Value: 30 * time.Second},
		&cli.StringSliceFlag{Name: "sick", Usage: "`UNIT=VERSION` that will not be healthy; again for more"},
		&cli.BoolFlag{Name: "shared", Usage: "slots share the bytes that are the same; they are no files then"},
		&cli.BoolFlag{Name: "json", Usage: "print events as JSON, one a line"},
		&cli.BoolFlag{Name: "verbose", Usage: "log what the agents log"},
	}
}

func runFleet(c *cli.Context) error {
	if c.NArg() > 0 {
		return fmt.Errorf("%w: %q is not a flag: see fairlead-sim fleet --help", errUsage, c.Args().First())
	}
	for _, name := range []string{"service", "ca", "root", "claim-file", "product", "hardware", "image", "release"} {
		if c.String(name) == "" {
			return fmt.Errorf("%w: --%s is missing: see fairlead-sim fleet --help", errUsage, name)
		}
	}
	sick, err := parseSick(c.StringSlice("sick"), c.Int("units"))
	if err != nil {
		return err
	}
	part, err := parsePart(c.String("part"))
	if err != nil {
		return err
	}
	level := slog.LevelError
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	f, err := fleet.New(c.Context, fleet.Config{
		Dir: c.Path("dir"), Units: c.Int("units"), Part: part,
		Service: c.String("service"), CA: c.Path("ca"), Root: c.Path("root"), ClaimFile: c.Path("claim-file"),
		Product: c.String("product"), Hardware: c.String("hardware"), Image: c.Path("image"),
		Factory:  agent.Factory{Version: c.String("release"), Counter: c.Int64("counter")},
		SlotSize: c.Int64("slot-size"), Poll: c.Duration("poll"), FallbackPoll: c.Duration("fallback-poll"),
		RetryWait: c.Duration("retry-wait"), Health: c.Duration("health-deadline"), Observe: observer(c),
		Shared: c.Bool("shared"),
		Each:   func(n int) fleet.Unit { return fleet.Unit{Faults: fleet.Faults{Unhealthy: sick[fleet.UnitName(n)]}} },
	}, version, log)
	if err != nil {
		return err
	}
	return errors.Join(f.Run(c.Context), f.Close())
}

// observer prints events, for programs or for people.
func observer(c *cli.Context) func(fleet.Event) {
	if c.Bool("json") {
		enc := json.NewEncoder(c.App.Writer)
		return func(e fleet.Event) { enc.Encode(e) }
	}
	return func(e fleet.Event) { fmt.Fprintln(c.App.Writer, line(e)) }
}

func line(e fleet.Event) string {
	at := e.Time.Local().Format("15:04:05")
	switch e.Kind {
	case fleet.PoweredOn:
		return fmt.Sprintf("%s  %s  boots slot %s", at, e.Unit, e.Slot)
	case fleet.AgentEnded:
		return fmt.Sprintf("%s  %s  agent ended: %s", at, e.Unit, e.Detail)
	}
	text := fmt.Sprintf("%s  %s  %s -> %s  %s", at, e.Unit, e.From, e.To, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason + ": " + e.Detail
	}
	return text
}

// parsePart reads K/N, both counted from 1; "" is the whole.
func parsePart(text string) (fleet.Part, error) {
	if text == "" {
		return fleet.Part{}, nil
	}
	at, of, _ := strings.Cut(text, "/")
	k, err := strconv.Atoi(at)
	n, err2 := strconv.Atoi(of)
	if errors.Join(err, err2) != nil || k < 1 || k > n {
		return fleet.Part{}, fmt.Errorf("%w: --part %s: want K/N, such as 2/3 for the second of three", errUsage, text)
	}
	return fleet.Part{At: k - 1, Of: n}, nil
}

func parseSick(args []string, units int) (map[string]string, error) {
	sick := map[string]string{}
	for _, arg := range args {
		unit, version, ok := strings.Cut(arg, "=")
		if !ok || unit == "" || version == "" {
			return nil, fmt.Errorf("%w: --sick %s: want UNIT=VERSION, such as unit-007=1.2.0", errUsage, arg)
		}
		var n int
		if _, err := fmt.Sscanf(unit, "unit-%d", &n); err != nil || n < 1 || n > units || fleet.UnitName(n) != unit {
			return nil, fmt.Errorf("%w: --sick %s: there is no %s in a fleet of %d", errUsage, arg, unit, units)
		}
		sick[unit] = version
	}
	return sick, nil
}
