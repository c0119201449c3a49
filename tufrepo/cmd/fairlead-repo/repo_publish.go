package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/attest/keyless"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
)

func publishCommand() *cli.Command {
	return serviceLeaf("publish", "take a signed bundle in", "BUNDLE",
		`Examples:

  fairlead-repo publish --repo /srv/fairlead first
  fairlead-repo publish --repo /srv/fairlead release-1.1.0 --json

The bundle is verified as a device would verify it, and tried with the device's own code, from
the newest root and from the oldest,
before anything changes for devices; then it appears in one step. If it is interrupted, run
it again. Problems are listed one to a line, with what to do about them; with --json they are
in "problems".

With --policy, a new release must come with what the policy asks for: an SBOM, provenance by a
build system that the policy names, notes; without denied licences and parts. It says all that is
wrong at once.

  fairlead-repo publish --repo /srv/fairlead --policy publish-policy.json release-1.1.0

Where the targets role names a log policy, new releases are entered into the log first, and its
witnesses are asked; without enough of them nothing is published.

Exit codes: 0 published, or there already; 3 the repository has moved on: build the bundle
again; 4 another publisher is at work; 5 the bundle is not good, or not signed by enough people.`,
		publish, serviceRepoFlag(), cmdline.ProgressFlag(),
		&cli.StringFlag{Name: "policy", Usage: "publish policy `FILE`: what must be said of a release", EnvVars: []string{"FAIRLEAD_PUBLISH_POLICY"}},
		&cli.Int64Flag{Name: "oldest-root", Usage: "`VERSION` of the oldest root in the field, from which the result is tried", DefaultText: "the first"})
}

func publish(c *cli.Context) error {
	dir, err := oneArgument(c, "bundle")
	if err != nil {
		return err
	}
	if c.IsSet("oldest-root") && c.Int64("oldest-root") < 1 {
		return serviceUsage("--oldest-root %d: give the version of a root", c.Int64("oldest-root"))
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	o := tufrepo.PublishOptions{OldestRoot: c.Int64("oldest-root")}
	if path := c.String("policy"); path != "" {
		if o.Policy, err = attest.LoadPolicy(path, keyless.Open); err != nil {
			return err
		}
	}
	quietLog()
	debug.SetGCPercent(400) // little is held at a time, and collecting it at the usual pace would take a fifth of the time
	p := cmdline.NewProgress(c, "publishing")
	o.Progress = p.Report()
	done, err := repo.Publish(c.Context, dir, o)
	p.End()
	if err != nil {
		return showProblems(c, err)
	}
	return serviceShow(c, done, func(w io.Writer) { writePublished(w, done) })
}

// showProblems gives scripts the problems as JSON; people read them in the error.
func showProblems(c *cli.Context, err error) error {
	problems, ok := bundle.AsProblems(err)
	if !ok || !c.Bool("json") {
		return err
	}
	out := struct {
		Problems bundle.Problems `json:"problems"`
	}{problems}
	if show := serviceShow(c, out, nil); show != nil {
		return show
	}
	return err
}

func writePublished(w io.Writer, p tufrepo.Published) {
	if p.Nothing {
		fmt.Fprintf(w, "nothing new: the repository has all of it\n")
	}
	for _, r := range p.Releases {
		fmt.Fprintf(w, "published %s %s, counter %d\n", r.Product, r.Version, r.Counter)
	}
	if p.Logged > 0 {
		fmt.Fprintf(w, "proved %d releases to stand in the log, which has %d entries\n", p.Logged, p.LogSize)
	}
	for _, m := range p.Missed {
		fmt.Fprintf(w, "witness %s has not cosigned: %s\n", m.Witness, m.Why)
	}
	if p.Blobs > 0 {
		fmt.Fprintf(w, "copied %d blobs, %d bytes\n", p.Blobs, p.Bytes)
	}
	fmt.Fprintf(w, "now at root %d, targets %d, snapshot %d, timestamp %d\n", p.Root, p.Targets, p.Snapshot, p.Timestamp)
}

func renewCommand() *cli.Command {
	return serviceLeaf("renew", "sign a new timestamp, and a new snapshot where one is due", " ",
		`Examples:

  fairlead-repo renew --repo /srv/fairlead

fairlead-repo serve does this by itself, at half of the timestamp's life. Run it from a timer
where nothing serves, or after a publish of new online keys was interrupted.`,
		renew, serviceRepoFlag())
}

func renew(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	done, err := repo.Renew(c.Context)
	if err != nil {
		return err
	}
	return serviceShow(c, done, func(w io.Writer) {
		fmt.Fprintf(w, "timestamp %d is good until %s; snapshot %d\n", done.Timestamp, shortTime(done.Expires), done.Snapshot)
		fmt.Fprintf(w, "renew it by %s\n", shortTime(done.Next))
	})
}

func gcCommand() *cli.Command {
	return serviceLeaf("gc", "remove files that nothing has led to for a while", " ",
		`Examples:

  fairlead-repo gc --repo /srv/fairlead
  fairlead-repo gc --repo /srv/fairlead --grace 30d

A device that read an older timestamp may still be fetching what it led to: that is what the
grace is for. It is never shorter than the life of a timestamp, so that whatever a valid one
leads to is there. Roots are kept for ever.`,
		gc, serviceRepoFlag(),
		&cli.StringFlag{Name: "grace", Usage: "keep what was of use this long ago", Value: "7d"})
}

func gc(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	grace, err := serviceDuration("grace", c.String("grace"))
	if err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	done, err := repo.Collect(c.Context, grace)
	if err != nil {
		return err
	}
	return serviceShow(c, done, func(w io.Writer) { writeCollected(w, done) })
}

func writeCollected(w io.Writer, c tufrepo.Collected) {
	for _, name := range c.Removed {
		fmt.Fprintf(w, "removed %s\n", name)
	}
	fmt.Fprintf(w, "%d files removed, %d bytes; %d wait for their grace to end", len(c.Removed), c.Bytes, c.Waiting)
	if c.Waiting > 0 {
		fmt.Fprintf(w, ", the first at %s", shortTime(c.Next))
	}
	fmt.Fprintln(w)
}

func packCommand() *cli.Command {
	return serviceLeaf("pack", "pack a release into one file, for a device without a network", "PRODUCT/VERSION FILE.zip",
		`Examples:

  fairlead-repo pack --repo /srv/fairlead base-unit/1.1.0 base-unit-1.1.0.zip
  fairlead-agent install base-unit-1.1.0.zip

A pack holds the metadata of this moment: it can be installed until the first of it expires,
which is normally the timestamp. See init --timestamp-life.`,
		pack, serviceRepoFlag(), cmdline.ProgressFlag())
}

func pack(c *cli.Context) error {
	if c.NArg() != 2 {
		return serviceUsage("give PRODUCT/VERSION and FILE.zip, not %d arguments", c.NArg())
	}
	product, version, ok := cutRelease(c.Args().Get(0))
	if !ok {
		return serviceUsage("%q is not PRODUCT/VERSION", c.Args().Get(0))
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	p := cmdline.NewProgress(c, "packing")
	done, err := repo.Pack(c.Context, c.Args().Get(1), product, version, tufrepo.PackOptions{Progress: p.Report()})
	p.End()
	if err != nil {
		return err
	}
	return serviceShow(c, done, func(w io.Writer) {
		fmt.Fprintf(w, "packed %s %s into %s, %d files, %d bytes of blobs\n", product, version, c.Args().Get(1), done.Files, done.Bytes)
		fmt.Fprintf(w, "it can be installed until %s, %s from now\n", shortTime(done.Expires), time.Until(done.Expires).Round(time.Minute))
	})
}
