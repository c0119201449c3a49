package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
)

func productCommand() *cli.Command {
	where := func() []cli.Flag {
		return append(baseFlags(), clockFlag(), outFlag(), expiresFlag(), jsonFlag(),
			&cli.StringFlag{Name: "bundle", Usage: "change a bundle that is not published yet, in place unless --out is given"})
	}
	return group("product", "products and the keys that sign their releases",
		command("add", "draft a targets file with new products", "NAME...",
			`The targets keys sign it. Into the bundle of the first root:

  fairlead-sign product add cam --bundle first --key dora.pub --key emil.pub --threshold 2

or, later, as a bundle of its own:

  fairlead-sign product add cam --repo REPO --out cam --key dora.pub --key emil.pub --threshold 2

Several names are several products with the same keys.`,
			append(where(),
				&cli.StringSliceFlag{Name: "key", Usage: "public key `FILE` that signs the product's releases; again for more"},
				&cli.IntFlag{Name: "threshold", Usage: "how many of them must sign", Value: 1},
			), productAdd),
		command("change", "draft a targets file with other keys for a product", "NAME",
			`  fairlead-sign product change cam --repo REPO --out cam-keys --add-key finn.pub --remove-key dora`,
			append(where(),
				&cli.StringSliceFlag{Name: "add-key", Usage: "public key `FILE` that enters"},
				&cli.StringSliceFlag{Name: "remove-key", Usage: "`KEY` that leaves: its file, owner, or 8 digits of its id or more"},
				&cli.IntFlag{Name: "threshold", Usage: "new threshold", DefaultText: "as it is"},
			), productChange),
	)
}

// productOptions reads what add and change have in common.
func productOptions(c *cli.Context) (signer.ProductOptions, error) {
	if !c.Args().Present() {
		return signer.ProductOptions{}, usage("NAME is missing")
	}
	o, err := draftOptions(c)
	o.Product = c.Args().First()
	return o, err
}

// draftOptions says upon what a change of the targets file is made.
func draftOptions(c *cli.Context) (o signer.ProductOptions, err error) {
	o = signer.ProductOptions{Out: c.String("out"), Bundle: c.String("bundle"), Now: time.Now()}
	if (o.Bundle == "") == !c.IsSet("repo") {
		return o, usage("give either --repo or --bundle")
	}
	if o.Bundle == "" && o.Out == "" {
		return o, usage("--out is missing")
	}
	if o.Lifetime, err = lifetime(c); err != nil || o.Bundle != "" {
		return o, err
	}
	o.Base, err = readBase(c)
	return o, err
}

func productAdd(c *cli.Context) error {
	o, err := productOptions(c)
	if err != nil {
		return err
	}
	keys, err := roleKeys(c, "key", "threshold")
	if err != nil {
		return err
	}
	draft, err := signer.AddProduct(c.Context, o, keys, c.Args().Tail()...)
	if err != nil {
		return err
	}
	recordAgain(c, draft.Bundle)
	return showDraft(c, draft)
}

func productChange(c *cli.Context) error {
	if _, err := arguments(c, "NAME"); err != nil {
		return err
	}
	o, err := productOptions(c)
	if err != nil {
		return err
	}
	change, err := roleChange(c, "add-key", "remove-key", "threshold")
	if err != nil {
		return err
	}
	draft, err := signer.ChangeProduct(c.Context, o, change)
	if err != nil {
		return err
	}
	return showDraft(c, draft)
}

func renewCommand() *cli.Command {
	return command("renew", "draft successors that only expire later, of targets and products", "targets|PRODUCT...",
		`A root is renewed by: root rotate. Releases renew their product by themselves.

  fairlead-sign renew --repo REPO --out renewal targets cam`,
		append(baseFlags(), clockFlag(), outFlag(), expiresFlag(), jsonFlag()),
		func(c *cli.Context) error {
			if !c.Args().Present() {
				return usage("name what to renew: targets, or products")
			}
			if err := required(c, "repo", "out"); err != nil {
				return err
			}
			o := signer.ProductOptions{Out: c.String("out"), Now: time.Now()}
			var err error
			if o.Lifetime, err = lifetime(c); err != nil {
				return err
			}
			if o.Base, err = readBase(c); err != nil {
				return err
			}
			draft, err := signer.Renew(c.Context, o, c.Args().Slice())
			if err != nil {
				return err
			}
			return showDraft(c, draft)
		})
}
