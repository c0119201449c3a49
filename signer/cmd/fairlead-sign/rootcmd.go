package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
)

// topRoles are the roles of a root, as their flags are listed.
var topRoles = []string{"root", "targets", "snapshot", "timestamp"}

func directorFlag() cli.Flag {
	return &cli.BoolFlag{Name: "director", Usage: "the root of a tenant's director, whose targets key is online"}
}

func outFlag() cli.Flag {
	return &cli.StringFlag{Name: "out", Usage: "bundle `FOLDER` to make"}
}

func rootCommand() *cli.Command {
	newFlags := []cli.Flag{outFlag()}
	for _, role := range topRoles {
		newFlags = append(newFlags,
			&cli.StringSliceFlag{Name: role + "-key", Usage: "public key `FILE` that signs " + role + "; again for more"},
			&cli.IntFlag{Name: role + "-threshold", Usage: "how many of them must sign", Value: 1})
	}
	rotateFlags := append(baseFlags(), clockFlag(), outFlag())
	for _, role := range topRoles {
		rotateFlags = append(rotateFlags,
			&cli.StringSliceFlag{Name: "add-" + role + "-key", Usage: "public key `FILE` that enters " + role},
			&cli.StringSliceFlag{Name: "remove-" + role + "-key", Usage: "`KEY` that leaves " + role + ": its file, owner, or 8 digits of its id or more"},
			&cli.IntFlag{Name: role + "-threshold", Usage: "new threshold of " + role, DefaultText: "as it is"})
	}
	return group("root", "the root: who may sign what",
		command("new", "draft the first root of a repository or of a director", " ",
			`  fairlead-sign root new --out first \
      --root-key alice.pub --root-key bob.pub --root-key carol.pub --root-threshold 2 \
      --targets-key alice.pub --targets-key bob.pub --targets-threshold 2 \
      --snapshot-key snapshot.pub --timestamp-key timestamp.pub

The public keys of snapshot and timestamp are what fairlead-repo init prints.
For the root of a tenant's director, whose directions are signed online:

  fairlead-sign root new --director --out acme --root-key alice.pub \
      --targets-key acme.pub --snapshot-key acme.pub --timestamp-key acme.pub`,
			append(newFlags, expiresFlag(), directorFlag(), jsonFlag()), rootNew),
		command("rotate", "draft the next root: keys enter and leave, thresholds change", " ",
			`The old root's keys and the new one's both sign it. Without changes it is renewed.

  fairlead-sign root rotate --repo REPO --out second --add-root-key dave.pub --remove-root-key carol`,
			append(rotateFlags, expiresFlag(), directorFlag(), jsonFlag()), rootRotate),
		command("next", "who must do what next; writes the record of the ceremony", "BUNDLE",
			`The record is a page of plain text beside the bundle, BUNDLE.ceremony.txt: what is signed, in words
and with digests to compare; who may do what then; which steps are done; what is next. root new and
root rotate make it, sign and merge keep it up to date, and so does this, as often as you like.
With --repo it also knows whether the bundle still fits the repository, and whether it is published.

  fairlead-sign root next second --repo REPO`,
			append(baseFlags(), jsonFlag()), rootNext),
		command("status", "who has signed a root, who must still, what changes", "BUNDLE|REPO",
			`  fairlead-sign root status second`,
			append(baseFlags(), jsonFlag()), func(c *cli.Context) error { return status(c, "root") }),
	)
}

func rootNew(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	if err := required(c, "out"); err != nil {
		return err
	}
	o := signer.NewRootOptions{Out: c.String("out"), Roles: map[string]signer.Keys{}, Director: c.Bool("director"), Now: time.Now()}
	var err error
	if o.Lifetime, err = lifetime(c); err != nil {
		return err
	}
	for _, role := range topRoles {
		if o.Roles[role], err = roleKeys(c, role+"-key", role+"-threshold"); err != nil {
			return err
		}
	}
	draft, err := signer.NewRoot(c.Context, o)
	if err != nil {
		return err
	}
	return errors.Join(showDraft(c, draft), record(c, o.Out))
}

func rootNext(c *cli.Context) error {
	args, err := arguments(c, "BUNDLE")
	if err != nil {
		return err
	}
	ceremony, err := signer.ReadCeremony(args[0], c.String("repo"), c.String("root"), time.Now())
	if err != nil {
		return err
	}
	if _, err := ceremony.WriteRecord(); err != nil {
		return err
	}
	return show(c, ceremony, ceremony.WriteText)
}

// record writes the record of a ceremony, and says where.
func record(c *cli.Context, dir string) error {
	ceremony, err := signer.ReadCeremony(dir, "", "", time.Now())
	if err != nil {
		return err
	}
	name, err := ceremony.WriteRecord()
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "who must do what next: %s\n", name)
	}
	return err
}

// recordAgain brings the record of a bundle up to date, if it has one. The work is done by then: what goes wrong is
// only told.
func recordAgain(c *cli.Context, dir string) {
	if _, err := os.Lstat(signer.RecordName(dir)); err != nil {
		return
	}
	if err := record(c, dir); err != nil {
		fmt.Fprintf(c.App.ErrWriter, "warning: %v; make it anew with: fairlead-sign root next %s\n", err, dir)
	}
}

func rootRotate(c *cli.Context) error {
	if _, err := arguments(c); err != nil {
		return err
	}
	if err := required(c, "repo", "out"); err != nil {
		return err
	}
	o := signer.RotateRootOptions{Out: c.String("out"), Changes: map[string]signer.RoleChange{}, Director: c.Bool("director"), Now: time.Now()}
	var err error
	if o.Lifetime, err = lifetime(c); err != nil {
		return err
	}
	for _, role := range topRoles {
		change, err := roleChange(c, "add-"+role+"-key", "remove-"+role+"-key", role+"-threshold")
		if err != nil {
			return err
		}
		o.Changes[role] = change
	}
	if o.Base, err = readBase(c); err != nil {
		return err
	}
	draft, err := signer.RotateRoot(c.Context, o)
	if err != nil {
		return err
	}
	return errors.Join(showDraft(c, draft), record(c, o.Out))
}

func roleChange(c *cli.Context, add, remove, threshold string) (signer.RoleChange, error) {
	keys, err := publicKeys(c, add)
	if err != nil {
		return signer.RoleChange{}, err
	}
	if c.IsSet(threshold) && c.Int(threshold) < 1 {
		return signer.RoleChange{}, usage("--%s must be 1 or more", threshold)
	}
	return signer.RoleChange{Add: keys, Remove: c.StringSlice(remove), Threshold: c.Int(threshold)}, nil
}
