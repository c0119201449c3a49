package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"
	"k8s.io/klog/v2"

	"github.com/fairlead/fairlead/tufrepo"
)

// quietLog keeps the log's storage from writing to standard error past our own logger: what fails there comes back
// as an error.
func quietLog() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

func logCommand() *cli.Command {
	return serviceGroup("log", "the transparency log in which releases must stand",
		serviceLeaf("init", "make the key of a log, and a policy to begin with", " ",
			`Examples:

  fairlead-repo log init --repo /srv/fairlead --origin fw.example.com/releases
  fairlead-sign log-policy /srv/fairlead/state/log/policy.txt --bundle first

The origin is the log's name: the address under which it can be read, without a scheme. The
policy, once the targets role names it, lets devices refuse releases that do not stand in the log;
publish enters them by itself. Add witnesses to the policy when there are some. Keep a copy of
state/log/log.key where the online keys' copies are.`,
			logInit, serviceRepoFlag(), originFlag()),
		serviceLeaf("show", "how many entries there are, and under which key", " ",
			`Examples:

  fairlead-repo log show --repo /srv/fairlead --json`,
			logShow, serviceRepoFlag()),
		serviceLeaf("add", "enter the releases of a bundle before it is signed", "BUNDLE",
			`Examples:

  fairlead-repo log add release-1.1.0 --repo /srv/fairlead

Not needed: publish enters what is new. It is for desks whose signers want to see a release in
the log before they sign it.`,
			logAdd, serviceRepoFlag()))
}

func originFlag() cli.Flag {
	return &cli.StringFlag{Name: "origin", Usage: "`NAME` of the log, such as fw.example.com/releases"}
}

func logInit(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("origin") == "" {
		return serviceUsage("--origin is missing")
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	info, err := repo.InitLog(c.String("origin"))
	if err != nil {
		return err
	}
	return serviceShow(c, info, func(w io.Writer) { writeLog(w, info) })
}

func logShow(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	info, err := repo.Log(c.Context)
	if err != nil {
		return err
	}
	return serviceShow(c, info, func(w io.Writer) { writeLog(w, info) })
}

func writeLog(w io.Writer, l tufrepo.LogInfo) {
	fmt.Fprintf(w, "log %s has %d entries\nkey\t%s\n", l.Origin, l.Size, l.Key)
	if l.Policy != "" {
		fmt.Fprintf(w, "policy\t%s\n", l.Policy)
	}
}

func logAdd(c *cli.Context) error {
	dir, err := oneArgument(c, "bundle")
	if err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	quietLog()
	found, err := repo.LogBundle(c.Context, dir)
	if err != nil {
		return err
	}
	return serviceShow(c, found, func(w io.Writer) {
		for _, target := range slices.Sorted(maps.Keys(found)) {
			fmt.Fprintf(w, "entry %d is %s\n", found[target], target)
		}
	})
}
