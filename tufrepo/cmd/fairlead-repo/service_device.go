package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func deviceCommand() *cli.Command {
	return serviceGroup("device", "the fleet",
		serviceLeaf("list", "list devices and what they run", " ",
			`Examples:

  fairlead-repo device list --repo REPO
  fairlead-repo device list --repo REPO --tenant acme --json
  fairlead-repo device list --repo REPO --tenant acme --group berlin --version 1.0.0
  fairlead-repo device list --repo REPO --find 00:1d:c1 --limit 20

--find looks for a part of a serial or MAC, or for the beginning of an id.`,
			deviceList, clientFlags(
				&cli.StringFlag{Name: "tenant", Usage: "only of this tenant"},
				&cli.StringFlag{Name: "group", Usage: "only in this group and below, by `PATH`"},
				&cli.StringFlag{Name: "product", Usage: "only of this product"},
				&cli.StringFlag{Name: "version", Usage: "only with this version"},
				&cli.StringFlag{Name: "state", Usage: "only in this `STATE`: idle, downloading, installing, staged, rebooting, trying, …"},
				&cli.StringFlag{Name: "find", Usage: "only those that this `TEXT` finds"},
				limitFlag(),
				&cli.StringFlag{Name: "after", Usage: "begin after this `ID`, which the page before ended with"},
				&cli.BoolFlag{Name: "revoked", Usage: "revoked ones too"})...),
		serviceLeaf("show", "show one device and what it said last", "ID", "", deviceShow, clientFlags()...),
		serviceLeaf("revoke", "withdraw a device's identity, at once and for good", "ID",
			`A revoked device cannot connect. Its serial may enrol again with a new key, as after a
repair; that makes a new device.`, deviceRevoke, clientFlags()...),
		serviceLeaf("set", "note things of a device: its time zone, attributes", "ID [NAME=TEXT]...",
			`Examples:

  fairlead-repo device set ID --repo REPO --zone Europe/Berlin
  fairlead-repo device set ID --repo REPO room=7.01 asset=4711
  fairlead-repo device set ID --repo REPO asset=

An empty text removes an attribute. The time zone says when the windows of rollouts open.`,
			deviceSet, clientFlags(&cli.StringFlag{Name: "zone", Usage: "IANA time `ZONE`; empty for that of the plan"})...),
		serviceLeaf("poke", "ask a connected device for something now", "ID [COMMAND]",
			`Examples:

  fairlead-repo device poke ID --repo REPO
  fairlead-repo device poke ID report-now --repo REPO

check       look for a direction, and try at once what has failed and waits for its turn; without COMMAND
report-now  send the inventory again
ping        do nothing but answer
pause       fetch nothing more of images, until resume or the agent's next start
resume      go on

It is for devices that are connected by MQTT, and good for a minute. Exit code 1 when the
device does not answer within 5 seconds, or says no.`, devicePoke, clientFlags()...),
		serviceLeaf("cloud", "switch a device's cloud connection off, or take that back", "ID on|off",
			`Examples:

  fairlead-repo device cloud ID off --repo REPO
  fairlead-repo device cloud ID on --repo REPO

A device that has gone offline makes no connection any more. Only at the device can it be
switched on again, with fairlead-agent online; "on" takes the order back from one that has
not obeyed yet.`, deviceCloud, clientFlags()...),
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
	most := c.Int("limit")
	for after := c.String("after"); ; after = all.Next {
		q := url.Values{"tenant": {c.String("tenant")}, "after": {after}, "limit": {strconv.Itoa(pageOf(most, len(all.Devices)))}, "text": {c.String("find")}}
		for _, name := range []string{"group", "product", "version", "state"} {
			q.Set(name, c.String(name))
		}
		if c.Bool("revoked") {
			q.Set("revoked", "1")
		}
		var page api.Devices
		if err := client.Do(c.Context, "GET", "/devices?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all.Devices, all.Next = append(all.Devices, page.Devices...), page.Next
		if page.Next == "" || most > 0 && len(all.Devices) >= most {
			break
		}
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "DEVICE", "TENANT", "SERIAL", "PRODUCT", "VERSION", "STATE", "LINK", "SEEN", "GROUP")
		for _, d := range all.Devices {
			row(w, d.ID, d.Tenant, d.Serial, d.Product, d.Version, d.State, linkOf(d), shortTime(value(d.Seen)), d.Group)
		}
		if all.Next != "" {
			fmt.Fprintf(w, "there are more: --after %s\n", all.Next)
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
	case d.CloudOff:
		return "switched off"
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

func deviceSet(c *cli.Context) error {
	if !c.Args().Present() {
		return serviceUsage("give the id of a device")
	}
	e := api.DeviceEdit{Attributes: map[string]string{}}
	if c.IsSet("zone") {
		zone := c.String("zone")
		e.Zone = &zone
	}
	for _, pair := range c.Args().Tail() {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return serviceUsage("%q is not NAME=TEXT", pair)
		}
		e.Attributes[name] = text
	}
	if e.Zone == nil && len(e.Attributes) == 0 {
		return serviceUsage("say what to note: --zone ZONE or NAME=TEXT")
	}
	d, err := asked[api.Device](c, "PATCH", "/devices/"+url.PathEscape(c.Args().First()), e)
	if err != nil {
		return err
	}
	return showDevice(c, d)
}

func devicePoke(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return serviceUsage("give ID, and perhaps one command")
	}
	in := api.Command{Command: cmp.Or(c.Args().Get(1), wire.CmdCheck)}
	out, err := asked[api.Commanded](c, "POST", "/devices/"+url.PathEscape(c.Args().First())+"/command", in)
	if err != nil {
		return err
	}
	err = serviceShow(c, out, func(w io.Writer) {
		row(w, "command", in.Command)
		row(w, "answered", out.Answered)
		row(w, "done", out.OK)
		row(w, "detail", out.Detail)
	})
	switch {
	case err != nil:
		return err
	case !out.Answered:
		return fmt.Errorf("the device has not answered yet; what it is asked for is good until %s", shortTime(out.Expires))
	case !out.OK:
		return fmt.Errorf("the device does not do it: %s", out.Detail)
	}
	return nil
}

func deviceCloud(c *cli.Context) error {
	to := c.Args().Get(1)
	if c.NArg() != 2 || to != "on" && to != "off" {
		return serviceUsage("give ID and on or off")
	}
	d, err := asked[api.Device](c, "POST", "/devices/"+url.PathEscape(c.Args().First())+"/cloud", api.CloudOrder{Off: to == "off"})
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
			{"enrolled", shortTime(d.Enrolled)}, {"certificate until", shortTime(d.Expires)}, {"group", d.Group}, {"time zone", d.Zone},
		} {
			row(w, r[0], r[1])
		}
		for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
			row(w, "attribute "+name, d.Attributes[name])
		}
	})
}
