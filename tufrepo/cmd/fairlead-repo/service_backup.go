package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func backupCommand() *cli.Command {
	return serviceLeaf("backup", "copy the service's database and keys to a file, while it runs", "FILE",
		`Example:

  fairlead-repo backup --repo /srv/fairlead /backup/fairlead-$(date +%F)

The file has the database as it is at one moment, and the keys, encrypted. It opens only with
the service's key file, which is not in it: keep a copy of that somewhere else. Metadata,
targets and blobs of the repository are not in it either: copy those folders.`,
		backup, clientFlags()...)
}

// backedUp is what backup prints.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

func backup(c *cli.Context) error {
	name, err := oneArgument(c, "file")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup file %s is there already, and is not overwritten: choose another name", name)
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	f, err := durable.Create(name, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	n, err := client.Download(c.Context, "/backup", f)
	if err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	return serviceShow(c, backedUp{name, n}, func(w io.Writer) {
		fmt.Fprintf(w, "%s has %d bytes; it opens with the service's key file only\n", name, n)
	})
}

func restoreCommand() *cli.Command {
	return serviceLeaf("restore", "put a backup in the place of a service's state, while it does not run", "FILE",
		`Examples:

  fairlead-repo restore --repo /srv/fairlead --key-file fairlead.key /backup/fairlead-2026-09-01
  fairlead-repo restore --repo /srv/fairlead --replace /backup/fairlead-2026-09-01

It refuses a service that runs, and one that has a database, which --replace puts aside.
Afterwards the service starts and takes reports, but directs nobody until somebody has looked
at what happened since the backup and has run fairlead-repo accept-older.`,
		restore, serviceRepoFlag(), keyFileFlag(),
		&cli.BoolFlag{Name: "replace", Usage: "put aside what is there"})
}

// keyFileFlag names the key file of the service.
func keyFileFlag() cli.Flag {
	return &cli.StringFlag{Name: "key-file", Usage: "`FILE` under whose key the service's keys are encrypted; default: the repository's name with .key behind it",
		EnvVars: []string{"FAIRLEAD_KEY_FILE"}}
}

// restored is what restore prints.
type restored struct {
	Created    time.Time `json:"created"`
	Generation int64     `json:"generation"`
	Aside      string    `json:"aside,omitempty"`
}

func restore(c *cli.Context) error {
	name, err := oneArgument(c, "file")
	if err != nil {
		return err
	}
	if c.String("repo") == "" {
		return serviceUsage("--repo is missing")
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	defer f.Close()
	out, err := service.Restore(c.Context, service.RestoreOptions{Repo: c.String("repo"), KeyFile: c.String("key-file"), From: f,
		Replace: c.Bool("replace"), Clock: time.Now})
	if err != nil {
		return err
	}
	return serviceShow(c, restored(out), func(w io.Writer) {
		fmt.Fprintf(w, "restored the backup of %s\n", shortTime(out.Created))
		if out.Aside != "" {
			fmt.Fprintf(w, "what was there before is in %s\n", out.Aside)
		}
		fmt.Fprintln(w, "start the service, look at revoked devices and rollouts, then: fairlead-repo accept-older")
	})
}

func acceptOlderCommand() *cli.Command {
	return serviceLeaf("accept-older", "let the director go on with an older copy of its database", " ",
		`Example:

  fairlead-repo accept-older --repo REPO

A director that finds itself on an older copy of its database, as after a restore, directs
nobody. What the copy does not know: devices that were revoked since, and rollouts that were
paused or ended since. Revoke and end those again, then run this.`,
		func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			g, err := asked[api.Generation](c, "POST", "/accept-older", nil)
			if err != nil {
				return err
			}
			return serviceShow(c, g, func(w io.Writer) { fmt.Fprintf(w, "the director goes on, with generation %d\n", g.Generation) })
		}, clientFlags()...)
}
