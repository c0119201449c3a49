package main

import (
	"io"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func deviceCommand() *cli.Command {
	return serviceGroup("device", "the fleet",
		serviceLeaf("list", "list devices and what they run", " ",
			`Examples:

  fairlead-repo device list --repo REPO
  fairlead-repo device list --repo REPO --tenant acme --json`,
			deviceList, clientFlags(
				&cli.StringFlag{Name: "tenant", Usage: "only of this tenant"},
				&cli.BoolFlag{Name: "revoked", Usage: "revoked ones too"})...),
		serviceLeaf("show", "show one device and what it said last", "ID", "", deviceShow, clientFlags()...),
		serviceLeaf("revoke", "withdraw a device's identity, at once and for good", "ID",
			`A revoked device cannot connect. Its serial may enrol again with a new key, as after a
repair; that makes a new device.`, deviceRevoke, clientFlags()...),
	)
}

func deviceList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	all := api.Devices{Devices: []api.Device{}}
	for after := ""; ; after = all.Next {
		q := url.Values{"tenant": {c.String("tenant")}, "after": {after}}
		if c.Bool("revoked") {
			q.Set("revoked", "1")
		}
		var page api.Devices
		if err := client.Do(c.Context, "GET", "/devices?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all.Devices, all.Next = append(all.Devices, page.Devices...), page.Next
		if page.Next == "" {
			break
		}
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "DEVICE", "TENANT", "SERIAL", "PRODUCT", "VERSION", "STATE", "LINK", "SEEN")
		for _, d := range all.Devices {
			row(w, d.ID, d.Tenant, d.Serial, d.Product, d.Version, d.State, linkOf(d), shortTime(value(d.Seen)))
		}
	})
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func linkOf(d api.Device) string {
	switch {
	case d.Revoked != nil:
		return "revoked"
	case d.Online:
		return "online"
	}
	return "offline"
}

func deviceShow(c *cli.Context) error {
	id, err := oneArgument(c, "device")
	if err != nil {
		return err
	}
	d, err := asked[api.Device](c, "GET", "/devices/"+url.PathEscape(id), nil)
	if err != nil {
		return err
	}
	return showDevice(c, d)
}

func deviceRevoke(c *cli.Context) error {
	id, err := oneArgument(c, "device")
	if err != nil {
		return err
	}
	d, err := asked[api.Device](c, "POST", "/devices/"+url.PathEscape(id)+"/revoke", nil)
	if err != nil {
		return err
	}
	return showDevice(c, d)
}

func showDevice(c *cli.Context, d api.Device) error {
	return serviceShow(c, d, func(w io.Writer) {
		for _, r := range [][2]any{
			{"device", d.ID}, {"tenant", d.Tenant}, {"product", d.Product}, {"hardware", d.Hardware}, {"serial", d.Serial},
			{"mac", d.MAC}, {"agent", d.Agent}, {"version", d.Version}, {"release counter", d.Counter}, {"state", d.State},
			{"link", linkOf(d)}, {"last seen", shortTime(value(d.Seen))}, {"direction", d.Direction}, {"direction accepted", d.Accepted},
			{"enrolled", shortTime(d.Enrolled)}, {"certificate until", shortTime(d.Expires)},
		} {
			row(w, r[0], r[1])
		}
	})
}
