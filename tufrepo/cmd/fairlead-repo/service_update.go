package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func directCommand() *cli.Command {
	return serviceLeaf("direct", "direct a release to devices", " ",
		`Examples:

  fairlead-repo direct --repo REPO --tenant acme --release base/1.1.0 --all
  fairlead-repo direct --repo REPO --tenant acme --release base/1.1.0 --device ID --device ID
  fairlead-repo direct --repo REPO --tenant acme --nothing --all

The release must be published. What the director believes a device will refuse (other
hardware or product, an older release, an agent that is too old) is not directed, unless
--force says so; the device decides for itself in any case. Exit code 1 if a device that
was named, or every device, was passed over.`,
		direct, clientFlags(
			&cli.StringFlag{Name: "tenant", Usage: "`NAME` of the tenant"},
			&cli.StringFlag{Name: "release", Usage: "`PRODUCT/VERSION`"},
			&cli.BoolFlag{Name: "nothing", Usage: "direct them to nothing: what has not begun does not begin"},
			&cli.StringSliceFlag{Name: "device", Usage: "`ID` of a device; may be repeated"},
			&cli.BoolFlag{Name: "all", Usage: "every device of the tenant that has the product"},
			&cli.BoolFlag{Name: "force", Usage: "also what the director believes the device will refuse"})...)
}

func direct(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	o := api.Order{Tenant: c.String("tenant"), Devices: c.StringSlice("device"), All: c.Bool("all"), Force: c.Bool("force")}
	if o.Tenant == "" {
		return serviceUsage("--tenant is missing")
	}
	if (c.String("release") == "") != c.Bool("nothing") {
		return serviceUsage("give --release PRODUCT/VERSION or --nothing")
	}
	if o.All == (len(o.Devices) > 0) {
		return serviceUsage("give --device ID or --all")
	}
	if !c.Bool("nothing") {
		var ok bool
		if o.Product, o.Version, ok = strings.Cut(c.String("release"), "/"); !ok || o.Product == "" || o.Version == "" {
			return serviceUsage("--release %q is not PRODUCT/VERSION", c.String("release"))
		}
	}
	all, err := asked[api.Outcomes](c, "POST", "/directions", o)
	if err != nil {
		return err
	}
	if err := showOutcomes(c, all); err != nil {
		return err
	}
	return verdict(o, all)
}

func showOutcomes(c *cli.Context, all api.Outcomes) error {
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "DEVICE", "SERIAL", "DIRECTION", "UPDATE", "PASSED OVER")
		for _, one := range all.Outcomes {
			version, why := "", one.Refused
			if one.Version > 0 {
				version = strconv.FormatInt(one.Version, 10)
			}
			if one.Detail != "" {
				why += ": " + one.Detail
			}
			row(w, one.Device, one.Serial, version, one.Update, why)
		}
	})
}

// verdict is an error if somebody who was named was passed over, or everybody was.
func verdict(o api.Order, all api.Outcomes) error {
	refused := 0
	for _, one := range all.Outcomes {
		if one.Refused != "" {
			refused++
		}
	}
	if refused > 0 && (!o.All || refused == len(all.Outcomes)) {
		return errRefused
	}
	if len(all.Outcomes) == 0 {
		return fmt.Errorf("tenant %s has no device with this product", o.Tenant)
	}
	return nil
}
