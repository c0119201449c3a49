package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func settingsCommand() *cli.Command {
	return serviceGroup("settings", "what a tenant keeps, and for how long",
		serviceLeaf("show", "show a tenant's settings", " ", `Example:

  fairlead-repo settings show --repo REPO --tenant acme`, settingsShow, tenantFlags()...),
		serviceLeaf("set", "change a tenant's settings", " ",
			`Example:

  fairlead-repo settings set --repo REPO --tenant acme --device-days 30 --audit-days 730

What is older is removed once a day: events and ended updates of devices (1 to 3650 days, the
newest update of each device stays), ended rollouts; entries of the audit log (30 to 3650
days) up to a signed head. The log of the service itself: serve --log-file.`,
			settingsSet, tenantFlags(
				&cli.Int64Flag{Name: "device-days", Usage: "keep what devices said for `N` days"},
				&cli.Int64Flag{Name: "audit-days", Usage: "keep the audit log for `N` days"},
				&cli.BoolFlag{Name: "rollback", Usage: "a rollout may bring an earlier image back; --rollback=false: it may not"})...),
	)
}

func settingsShow(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	s, err := ofTenant[api.Settings](c, "GET", "/settings", nil)
	if err != nil {
		return err
	}
	return showSettings(c, s)
}

func settingsSet(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	var in api.NewSettings
	for name, to := range map[string]**int64{"device-days": &in.DeviceDays, "audit-days": &in.AuditDays} {
		if c.IsSet(name) {
			n := c.Int64(name)
			*to = &n
		}
	}
	if c.IsSet("rollback") {
		b := c.Bool("rollback")
		in.RollBack = &b
	}
	if in == (api.NewSettings{}) {
		return serviceUsage("say what to change: --device-days, --audit-days or --rollback")
	}
	s, err := ofTenant[api.Settings](c, "PATCH", "/settings", in)
	if err != nil {
		return err
	}
	return showSettings(c, s)
}

func showSettings(c *cli.Context, s api.Settings) error {
	return serviceShow(c, s, func(w io.Writer) {
		row(w, "device data", s.DeviceDays, "days")
		row(w, "audit log", s.AuditDays, "days")
		row(w, "rollback", s.RollBack, "")
	})
}
