package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
)

// quickGC is for commands that read lists of releases and are soon done: collecting at the usual pace would take a fifth of their time.
const quickGC = 400

func signCommand() *cli.Command {
	return command("sign", "add your signature to a bundle", "BUNDLE",
		`What you sign is shown first. Every file that waits for your key is signed.

  fairlead-sign sign cam-1.1.0 --key emil.key
  fairlead-sign sign cam-1.1.0 --key 'pkcs11:token=ceremony;object=alice'

The bundle carries the published files that it follows. To judge it by your own copy of
the repository's metadata, or by a root that you trust:

  fairlead-sign sign cam-1.1.0 --key emil.key --repo REPO --root 1.root.json`,
		append(baseFlags(),
			append(keyFlags(), clockFlag(),
				&cli.StringFlag{Name: "key", Usage: "your private key: a file, or another `REF`erence, such as pkcs11: or ssh-agent:"},
				&cli.BoolFlag{Name: "yes", Usage: "sign without asking"}, jsonFlag())...), sign)
}

func sign(c *cli.Context) error {
	args, err := arguments(c, "BUNDLE")
	if err != nil {
		return err
	}
	if err := required(c, "key"); err != nil {
		return err
	}
	key, err := loadSigner(c, c.String("key"))
	if err != nil {
		return err
	}
	debug.SetGCPercent(quickGC)
	s, err := signer.PrepareSigning(signer.SignOptions{Bundle: args[0], Repo: c.String("repo"), Root: c.String("root"), Key: key, Now: time.Now(), TrustClock: c.Bool("trust-clock")})
	if err != nil {
		return err
	}
	if len(s.View.Files) == 0 {
		fmt.Fprintf(c.App.ErrWriter, "nothing waits for key %s in %s\n", s.Key, args[0])
	} else if err := agreed(c, s); err != nil {
		return err
	} else if err := s.Sign(); err != nil {
		return err
	}
	recordAgain(c, args[0])
	v, err := s.Now()
	if err != nil {
		return err
	}
	return show(c, v, func(w io.Writer) error { return v.WriteText(w, time.Now()) })
}

// agreed shows what is to be signed, and asks.
func agreed(c *cli.Context, s *signer.Signing) error {
	fmt.Fprintf(c.App.ErrWriter, "key %s is about to sign; %s follows %s\n", s.Key, s.View.Bundle, s.View.Base)
	for _, file := range s.View.Files {
		fmt.Fprintln(c.App.ErrWriter)
		if err := file.WriteText(c.App.ErrWriter, time.Now()); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.App.ErrWriter)
	if c.Bool("yes") {
		return nil
	}
	yes, err := confirm(c.Context, fmt.Sprintf("sign %d file(s)?", len(s.View.Files)))
	if err == nil && !yes {
		err = fmt.Errorf("not signed")
	}
	return err
}

func mergeCommand() *cli.Command {
	return command("merge", "take over signatures that were made on a copy of a bundle", "BUNDLE OTHER",
		`  fairlead-sign merge cam-1.1.0 from-emil/cam-1.1.0`,
		[]cli.Flag{jsonFlag()},
		func(c *cli.Context) error {
			args, err := arguments(c, "BUNDLE", "OTHER")
			if err != nil {
				return err
			}
			merged, err := signer.Merge(args[0], args[1])
			if err != nil {
				return err
			}
			recordAgain(c, args[0])
			return show(c, merged, func(w io.Writer) error {
				fmt.Fprintf(w, "%d signature(s) came over\n", merged.Added)
				return merged.WriteText(w, time.Now())
			})
		})
}

func statusCommand() *cli.Command {
	return command("status", "who has signed, who must still, what changes", "BUNDLE|REPO",
		`  fairlead-sign status cam-1.1.0
  fairlead-sign status REPO`,
		append(baseFlags(), jsonFlag()), func(c *cli.Context) error { return status(c, "") })
}

// status shows a bundle or a repository; role "" is all roles.
func status(c *cli.Context, role string) error {
	args, err := arguments(c, "BUNDLE|REPO")
	if err != nil {
		return err
	}
	return statusOf(c, args[0], role)
}

func statusOf(c *cli.Context, dir, role string) error {
	kind, err := signer.Recognise(dir)
	if err != nil {
		return err
	}
	var v *signer.View
	if kind == signer.KindRepository {
		v, err = signer.ReadRepositoryView(dir, c.String("root"))
	} else {
		v, err = signer.ReadView(dir, c.String("repo"), c.String("root"))
	}
	if err != nil {
		return err
	}
	if role != "" {
		v.Files = slices.DeleteFunc(v.Files, func(f signer.FileView) bool { return f.Role != role })
	}
	return show(c, v, func(w io.Writer) error { return v.WriteText(w, time.Now()) })
}
