package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

func keyTypeFlag() cli.Flag {
	return &cli.StringFlag{Name: "key-type", Usage: "`TYPE` of the key: ed25519 or ecdsa-p256", Value: string(keyfile.Ed25519)}
}

func initCommand() *cli.Command {
	return serviceLeaf("init", "make an empty repository with its online keys", " ",
		`Examples:

  fairlead-repo init --repo /srv/fairlead
  fairlead-repo init --repo /srv/fairlead --log fw.example.com/releases
  fairlead-repo init --repo /srv/fairlead --timestamp-life 30d --snapshot-life 30d

It prints the public keys of timestamp and snapshot, which fairlead-sign root new wants.
The repository is of use once a bundle with the first root is published.

A device that is kept from new metadata notices when the timestamp has expired, and a packed
release can be installed that long: choose a longer life where devices are offline for long.`,
		repoInit, serviceRepoFlag(), keyTypeFlag(),
		&cli.StringFlag{Name: "log", Usage: "keep a transparency log of this `NAME`, too: see log init"},
		&cli.StringFlag{Name: "timestamp-life", Usage: "how long a timestamp is good; renewed at half", Value: "24h"},
		&cli.StringFlag{Name: "snapshot-life", Usage: "how long a snapshot is good, no shorter than a timestamp", Value: "7d"})
}

// keysShown is what init and key print.
type keysShown struct {
	Keys []tufrepo.Key    `json:"keys"`
	Log  *tufrepo.LogInfo `json:"log,omitempty"`
}

func repoInit(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("repo") == "" {
		return serviceUsage("--repo is missing")
	}
	o := tufrepo.InitOptions{Algorithm: keyfile.Algorithm(c.String("key-type"))}
	var err error
	if o.TimestampLife, err = serviceDuration("timestamp-life", c.String("timestamp-life")); err != nil {
		return err
	}
	if o.SnapshotLife, err = serviceDuration("snapshot-life", c.String("snapshot-life")); err != nil {
		return err
	}
	repo, err := tufrepo.Init(c.String("repo"), o)
	if err != nil {
		return err
	}
	if c.String("log") == "" {
		return showKeys(c, repo, nil)
	}
	info, err := repo.InitLog(c.String("log"))
	if err != nil {
		return err
	}
	return showKeys(c, repo, &info)
}

func showKeys(c *cli.Context, repo *tufrepo.Repo, log *tufrepo.LogInfo) error {
	keys, err := repo.Keys()
	if err != nil {
		return err
	}
	return serviceShow(c, keysShown{keys, log}, func(w io.Writer) {
		row(w, "KEY", "TYPE", "ID", "SIGNS", "PUBLIC KEY")
		for _, k := range keys {
			row(w, k.Name, k.Algorithm, k.ID[:12], strings.Join(k.Roles, ","), k.Public, k.Where)
		}
		if log != nil {
			writeLog(w, *log)
		}
	})
}

func keyCommand() *cli.Command {
	return serviceGroup("key", "the online keys of timestamp and snapshot",
		serviceLeaf("new", "make another online key, for the next root", "NAME",
			`Examples:

  fairlead-repo key new timestamp-2027 --repo /srv/fairlead

To change an online key: make the new one; hand its public half to fairlead-sign root rotate;
publish that root; the repository signs with what the root names. Remove the old key file
after that, not before: the publish signs with both, so that no device is caught between.`,
			keyNew, serviceRepoFlag(), keyTypeFlag()),
		serviceLeaf("add", "make a key that lies elsewhere an online key, for the next root", "NAME REF",
			`Examples:

  fairlead-repo key add timestamp-hsm 'pkcs11:token=online;object=timestamp?module-path=/X.so&pin-source=file:/PATH' --repo /srv/fairlead
  fairlead-repo key add snapshot-kms hashivault://snapshot --repo /srv/fairlead

References are those of fairlead-sign. The key must be there now; the repository keeps the reference
and the public half, and looks for the key whenever it signs. It is in use once a root names it.`,
			keyAdd, serviceRepoFlag()),
		serviceLeaf("list", "list the online keys, and what the newest root lets them sign", " ",
			`Examples:

  fairlead-repo key list --repo /srv/fairlead --json`,
			keyList, serviceRepoFlag()))
}

func keyNew(c *cli.Context) error {
	name, err := oneArgument(c, "name for the key")
	if err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	key, err := repo.NewKey(name, keyfile.Algorithm(c.String("key-type")))
	if err != nil {
		return err
	}
	return serviceShow(c, key, func(w io.Writer) {
		fmt.Fprintf(w, "made key %s, id %.12s\npublic key\t%s\n", key.Name, key.ID, key.Public)
	})
}

func keyAdd(c *cli.Context) error {
	if c.NArg() != 2 {
		return serviceUsage("want a name for the key, and a reference to it")
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	key, err := repo.AddKey(c.Context, c.Args().Get(0), c.Args().Get(1))
	if err != nil {
		return err
	}
	return serviceShow(c, key, func(w io.Writer) {
		fmt.Fprintf(w, "key %s, id %.12s, lies at %s\npublic key\t%s\n", key.Name, key.ID, key.Where, key.Public)
	})
}

func keyList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	return showKeys(c, repo, nil)
}
