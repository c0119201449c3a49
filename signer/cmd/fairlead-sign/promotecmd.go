package main

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/signer"
)

func promoteCommand() *cli.Command {
	flags := append(baseFlags(), clockFlag(), outFlag(),
		&cli.StringFlag{Name: "to", Usage: "channel: dev, beta or stable"},
		&cli.BoolFlag{Name: "back", Usage: "let a release go back to a channel that fewer devices take"},
		&cli.StringSliceFlag{Name: "key", Usage: "sign at once with this private key, a file or another `REF`erence; again for more"},
		expiresFlag(), passphraseFlag(), keyTimeoutFlag(), jsonFlag())
	return command("promote", "move a release to another channel, by signature", "PRODUCT/VERSION...",
		`  fairlead-sign release --repo REPO ... --version 1.2.0 --channel dev --out r
  fairlead-sign promote cam/1.2.0 --to beta --repo REPO --out to-beta --key dora.key
  fairlead-sign promote cam/1.2.0 --to stable --repo REPO --out to-stable --key dora.key

Nothing is built again: what was tested is what is promoted. The product's signers sign, as many
as a release needs, and the bundle is published like any other. Devices say in their
configuration how far a release must have come ("channel", stable if it says nothing), and
refuse what is not promoted so far, whatever a director says.`,
		flags, promote)
}

func promote(c *cli.Context) error {
	if !c.Args().Present() {
		return usage("name what to promote: PRODUCT/VERSION")
	}
	if err := required(c, "to", "repo", "out"); err != nil {
		return err
	}
	o := signer.PromoteOptions{To: firmware.Channel(c.String("to")), Back: c.Bool("back")}
	o.Out, o.Now = c.String("out"), time.Now()
	if err := o.To.Check(); err != nil {
		return usage("--to: %w", err)
	}
	for _, arg := range c.Args().Slice() {
		product, version, ok := strings.Cut(arg, "/")
		if !ok || o.Product != "" && product != o.Product {
			return usage("%q: give PRODUCT/VERSION, all of one product", arg)
		}
		o.Product, o.Versions = product, append(o.Versions, version)
	}
	var err error
	if o.Lifetime, err = lifetime(c); err != nil {
		return err
	}
	if o.Base, err = readBase(c); err != nil {
		return err
	}
	for _, path := range c.StringSlice("key") {
		key, err := loadSigner(c, path)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, key)
	}
	draft, err := signer.Promote(c.Context, o)
	if err != nil {
		return err
	}
	return showDraft(c, draft)
}
