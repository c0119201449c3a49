package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
	"github.com/fairlead/fairlead/tufrepo/mirror"
)

func mirrorCommand() *cli.Command {
	return serviceLeaf("mirror", "publish to S3-compatible object storage", "s3://BUCKET[/PREFIX]",
		`Examples:

  fairlead-repo mirror --repo /srv/fairlead s3://acme-firmware
  fairlead-repo mirror --repo /srv/fairlead s3://acme-firmware/fleet --endpoint https://s3.example.com --region eu-1
  fairlead-repo mirror --repo /srv/fairlead s3://acme-firmware --every 5m

The bucket gets what it lacks of the published state, the timestamp last: devices that fetch from
it, or from a cache in front of it, see the state before or the new one, wherever this is cut
short; run it again to complete it. What is there is not uploaded again.

Run it after every publish and renew, or leave it running with --every. Credentials are those of
AWS's own tools: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE with a shared credentials
file, or the machine's role.

With --gc objects are removed to which the bucket's timestamp has not led for the grace.

Exit codes: 0 the bucket has the state of the repository; 1 it has not: see the message; 4 somebody
publishes or mirrors just now.`,
		mirrorTo, serviceRepoFlag(), cmdline.ProgressFlag(),
		&cli.StringFlag{Name: "endpoint", Usage: "`URL` of the store", DefaultText: "AWS", EnvVars: []string{"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}},
		&cli.StringFlag{Name: "region", Usage: "`REGION` of the bucket", DefaultText: "asked for at AWS, us-east-1 elsewhere", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}},
		&cli.BoolFlag{Name: "gc", Usage: "remove objects that are of no use any more"},
		&cli.StringFlag{Name: "grace", Usage: "with --gc: keep what was of use this long ago", Value: "7d"},
		&cli.DurationFlag{Name: "every", Usage: "stay, and look for changes after each `PAUSE`"})
}

func mirrorTo(c *cli.Context) error {
	reference, err := oneArgument(c, "bucket")
	if err != nil {
		return err
	}
	place, err := mirror.ParsePlace(reference, c.String("endpoint"))
	if err != nil {
		return serviceUsage("%v", err)
	}
	place.Region = c.String("region")
	grace, err := serviceDuration("grace", c.String("grace"))
	if err != nil {
		return err
	}
	if c.IsSet("every") && c.Duration("every") < time.Second {
		return serviceUsage("--every %v: give a second or more", c.Duration("every"))
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	log := serviceLog(c)
	quietLog()
	o := mirror.Options{GC: c.Bool("gc"), Grace: grace, Log: log}
	if c.IsSet("every") {
		return mirrorLoop(c, repo, place, o)
	}
	_, err = mirrorOnce(c, repo, place, o)
	return err
}

func mirrorOnce(c *cli.Context, repo *tufrepo.Repo, place mirror.Place, o mirror.Options) (mirror.Done, error) {
	p := cmdline.NewProgress(c, "uploading")
	o.Progress = p.Report()
	done, err := mirror.Run(c.Context, repo, place, o)
	p.End()
	if err != nil {
		return done, err
	}
	return done, serviceShow(c, done, func(w io.Writer) { writeMirrored(w, done) })
}

// mirrorLoop runs until it is told to end. It goes through the bucket only where the timestamp has changed, since when
// a run failed, or to remove something.
func mirrorLoop(c *cli.Context, repo *tufrepo.Repo, place mirror.Place, o mirror.Options) error {
	var last mirror.Done
	for {
		if contents, err := repo.Contents(); err != nil || contents.Version() != last.Timestamp || o.GC && last.Waiting > 0 {
			done, err := mirrorOnce(c, repo, place, o)
			switch {
			case err == nil:
				last = done
			case errors.Is(err, context.Canceled) && c.Context.Err() != nil:
			default:
				last = mirror.Done{}
				o.Log.Error("the bucket was not brought up to date", "error", err, "again", c.Duration("every"))
			}
		}
		select {
		case <-c.Context.Done():
			return nil
		case <-time.After(c.Duration("every")):
		}
	}
}

func writeMirrored(w io.Writer, d mirror.Done) {
	for _, name := range d.Removed {
		fmt.Fprintf(w, "removed %s\n", name)
	}
	if d.Uploaded == 0 {
		fmt.Fprintf(w, "nothing new: %s has all of it\n", d.Place)
	} else {
		fmt.Fprintf(w, "uploaded %d of %d objects, %d bytes\n", d.Uploaded, d.Objects, d.Bytes)
	}
	if d.Waiting > 0 {
		fmt.Fprintf(w, "%d objects are of no use any more; with --gc the first may go at %s\n", d.Waiting, shortTime(d.Next))
	}
	fmt.Fprintf(w, "%s shows timestamp %d\n", d.Place, d.Timestamp)
}
