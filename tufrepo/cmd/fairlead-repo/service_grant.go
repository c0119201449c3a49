package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func grantCommand() *cli.Command {
	tenant := &cli.StringFlag{Name: "tenant", Usage: "`NAME` of the tenant that lets in"}
	to := &cli.StringFlag{Name: "to", Usage: "`NAME` of the organisation that is let in"}
	role := &cli.StringFlag{Name: "role", Usage: "`NAME` of a role, built in or of the tenant"}
	return serviceGroup("grant", "other organisations that are let into a tenant",
		serviceLeaf("add", "let another organisation in", " ",
			`Example:

  fairlead-repo grant add --repo REPO --tenant acme --to msp --role operator --expires 365d

Tokens of the organisation then may in the tenant what both they and the role may, but for
making tokens, roles and grants, and the tenant's own keys.`,
			grantAdd, clientFlags(tenant, to, role, &cli.StringFlag{Name: "expires", Usage: "good for this long, such as 365d; default: until it is ended"})...),
		serviceLeaf("list", "list what a tenant has granted, and was granted", " ", "", grantList, clientFlags(tenant)...),
		serviceLeaf("end", "end a grant, at once; either side may", " ",
			`Example:

  fairlead-repo grant end --repo REPO --tenant acme --to msp --role operator`,
			grantEnd, clientFlags(tenant, to, role)...),
	)
}

// wants asks for flags that have no default.
func wants(c *cli.Context, flags ...string) error {
	for _, flag := range flags {
		if c.String(flag) == "" {
			return serviceUsage("--%s is missing", flag)
		}
	}
	return noArguments(c)
}

func grantAdd(c *cli.Context) error {
	if err := wants(c, "tenant", "to", "role"); err != nil {
		return err
	}
	seconds, err := lifetime(c)
	if err != nil {
		return err
	}
	g, err := asked[api.Grant](c, "POST", "/tenants/"+url.PathEscape(c.String("tenant"))+"/grants",
		api.NewGrant{To: c.String("to"), Role: c.String("role"), Seconds: seconds})
	if err != nil {
		return err
	}
	return serviceShow(c, g, func(w io.Writer) { fmt.Fprintf(w, "tenant %s lets %s in as %s\n", g.Tenant, g.To, g.Role) })
}

func grantList(c *cli.Context) error {
	if err := wants(c, "tenant"); err != nil {
		return err
	}
	all, err := asked[api.Grants](c, "GET", "/tenants/"+url.PathEscape(c.String("tenant"))+"/grants", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "TENANT", "LETS IN", "ROLE", "CREATED", "EXPIRES", "ENDED")
		for _, g := range append(all.Given, all.Received...) {
			row(w, g.Tenant, g.To, g.Role, shortTime(g.Created), shortTime(value(g.Expires)), shortTime(value(g.Ended)))
		}
	})
}

func grantEnd(c *cli.Context) error {
	if err := wants(c, "tenant", "to", "role"); err != nil {
		return err
	}
	in := api.EndGrant{Tenant: c.String("tenant"), To: c.String("to"), Role: c.String("role")}
	done, err := asked[api.Done](c, "POST", "/grants/end", in)
	if err != nil {
		return err
	}
	return serviceShow(c, done, func(w io.Writer) { fmt.Fprintf(w, "the grant of %s to %s is ended\n", in.Tenant, in.To) })
}
