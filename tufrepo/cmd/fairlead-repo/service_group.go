package main

import (
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func groupCommand() *cli.Command {
	return serviceGroup("group", "the tree of a tenant's devices: sites, buildings, rooms",
		serviceLeaf("list", "list groups and how many devices they have", " ",
			`Example:

  fairlead-repo group list --repo REPO --tenant acme`, groupList, rolloutFlags()...),
		serviceLeaf("create", "make a group, and those above it", "PATH",
			`Example:

  fairlead-repo group create berlin/hq/room-7 --repo REPO --tenant acme`,
			func(c *cli.Context) error { return groupOrder(c, "", 1) }, rolloutFlags()...),
		serviceLeaf("move", "give a group, with all that is below it, another path", "PATH NEW-PATH",
			`Example:

  fairlead-repo group move berlin/hq berlin/headquarters --repo REPO --tenant acme`,
			func(c *cli.Context) error { return groupOrder(c, "/move", 2) }, rolloutFlags()...),
		serviceLeaf("remove", "remove a group that has no devices and no groups below it", "PATH",
			`Example:

  fairlead-repo group remove berlin/hq/room-7 --repo REPO --tenant acme`,
			func(c *cli.Context) error { return groupOrder(c, "/remove", 1) }, rolloutFlags()...),
		serviceLeaf("assign", "put devices into a group", "PATH DEVICE...",
			`Examples:

  fairlead-repo group assign berlin/hq/room-7 ID ID --repo REPO --tenant acme
  fairlead-repo group assign "" ID --repo REPO --tenant acme

A group that does not exist is made. With an empty path the devices are in none.`, groupAssign, rolloutFlags()...),
	)
}

func groupList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	path, err := tenantPath(c, "/groups")
	if err != nil {
		return err
	}
	all, err := asked[api.Groups](c, "GET", path, nil)
	if err != nil {
		return err
	}
	return showGroups(c, all)
}

// groupOrder asks for something that takes one path, or two.
func groupOrder(c *cli.Context, order string, paths int) error {
	if c.NArg() != paths {
		return serviceUsage("give %s, not %d arguments", strings.TrimSpace(c.Command.ArgsUsage), c.NArg())
	}
	return sendGroup(c, order, api.GroupOrder{Path: c.Args().Get(0), To: c.Args().Get(1)})
}

func groupAssign(c *cli.Context) error {
	if c.NArg() < 2 {
		return serviceUsage("give PATH DEVICE..., not %d arguments", c.NArg())
	}
	return sendGroup(c, "/assign", api.GroupOrder{Path: c.Args().First(), Devices: c.Args().Tail()})
}

func sendGroup(c *cli.Context, order string, o api.GroupOrder) error {
	path, err := tenantPath(c, "/groups"+order)
	if err != nil {
		return err
	}
	all, err := asked[api.Groups](c, "POST", path, o)
	if err != nil {
		return err
	}
	return showGroups(c, all)
}

func showGroups(c *cli.Context, all api.Groups) error {
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "GROUP", "DEVICES")
		for _, g := range all.Groups {
			row(w, g.Path, g.Devices)
		}
	})
}
