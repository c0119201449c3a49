package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
)

func inspectCommand() *cli.Command {
	return command("inspect", "show what a file or folder says, whatever it is", "FILE",
		`It knows keys, metadata, manifests, artifacts, patches, directions, attestations, bundles
and repositories by their content. It verifies nothing and never shows a secret.

  fairlead-sign inspect cam-1.1.0
  fairlead-sign inspect --json rootfs.fla`,
		[]cli.Flag{jsonFlag()},
		func(c *cli.Context) error {
			args, err := arguments(c, "FILE")
			if err != nil {
				return err
			}
			in, err := signer.Inspect(args[0], time.Now())
			if err != nil {
				return err
			}
			return show(c, in, in.WriteText)
		})
}

func verifyCommand() *cli.Command {
	return command("verify", "verify a file or folder, whatever it is", "FILE",
		`Exit codes: 0 in order, 4 only signatures are missing, 5 refused.
Artifacts are unpacked, and patches applied where their old image is at hand: given with
--from, or as an artifact in the repository, which is unpacked into $TMPDIR for that.

  fairlead-sign verify cam-1.1.0 --repo REPO
  fairlead-sign verify 2.root.json --root 1.root.json
  fairlead-sign verify rootfs.fla --repo REPO
  fairlead-sign verify new.flp --from old.img
  fairlead-sign verify direction.json --root acme-root.json`,
		append(baseFlags(),
			&cli.StringSliceFlag{Name: "from", Usage: "old image, a `FILE` or block device, that patches are made for; again for more"},
			cmdline.ProgressFlag(), jsonFlag()),
		func(c *cli.Context) error {
			args, err := arguments(c, "FILE")
			if err != nil {
				return err
			}
			p := cmdline.NewProgress(c, "reading")
			v, err := signer.Verify(c.Context, signer.VerifyOptions{
				Path: args[0], Repo: c.String("repo"), Root: c.String("root"), From: c.StringSlice("from"), Now: time.Now(), Progress: p.Report(),
			})
			p.End()
			if err != nil {
				return err
			}
			return show(c, v, func(w io.Writer) error { return verdict(w, v) })
		})
}

func verdict(w io.Writer, v *signer.Verdict) error {
	fmt.Fprintf(w, "%s: %s, verified\n", v.Path, v.Kind)
	for _, line := range v.Proven {
		fmt.Fprintf(w, "  %s\n", line)
	}
	for _, line := range v.Not {
		fmt.Fprintf(w, "  NOT verified: %s\n", line)
	}
	return nil
}
