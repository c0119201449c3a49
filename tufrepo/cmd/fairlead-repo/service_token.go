package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func tokenCommand() *cli.Command {
	return serviceGroup("token", "API tokens: who may do what",
		serviceLeaf("create", "make an API token and print it, this once", " ",
			`Examples:

  fairlead-repo token create --repo REPO --tenant acme --name "CI of acme" --role release --expires 90d > token
  fairlead-repo token create --repo REPO --name "second administrator" --role admin

Without --tenant it is a token of the service, good for all tenants. Roles are admin,
operator, release, viewer, auditor, and what fairlead-repo role set has made. The service
keeps only a hash of the token.`,
			tokenCreate, clientFlags(tenantOrService(),
				&cli.StringFlag{Name: "name", Usage: "who or what will use it"},
				&cli.StringFlag{Name: "role", Usage: "`NAME` of its role"},
				&cli.StringFlag{Name: "expires", Usage: "good for this long, such as 90d; default: until it is revoked"})...),
		serviceLeaf("list", "list API tokens, without what is secret", " ", "", tokenList, clientFlags(tenantOrService())...),
		serviceLeaf("revoke", "withdraw an API token, at once", "ID",
			`Example:

  fairlead-repo token revoke k3v9x0a2bq --repo REPO

The last admin of a tenant, and of the service, cannot be withdrawn: make another one first.`,
			tokenRevoke, clientFlags()...),
	)
}

func tenantOrService() cli.Flag {
	return &cli.StringFlag{Name: "tenant", Usage: "`NAME` of a tenant; default: the service itself"}
}

// below is the path of something of a tenant, or of the service.
func below(c *cli.Context, path string) string {
	if tenant := c.String("tenant"); tenant != "" {
		return "/tenants/" + url.PathEscape(tenant) + path
	}
	return path
}

// lifetime reads --expires; zero where it is not given.
func lifetime(c *cli.Context) (seconds int64, err error) {
	if c.String("expires") == "" {
		return 0, nil
	}
	d, err := serviceDuration("expires", c.String("expires"))
	return int64(d.Seconds()), err
}

func tokenCreate(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	for _, flag := range []string{"name", "role"} {
		if c.String(flag) == "" {
			return serviceUsage("--%s is missing", flag)
		}
	}
	seconds, err := lifetime(c)
	if err != nil {
		return err
	}
	t, err := asked[api.Token](c, "POST", below(c, "/tokens"), api.NewToken{Name: c.String("name"), Role: c.String("role"), Seconds: seconds})
	if err != nil {
		return err
	}
	return serviceShow(c, t, func(w io.Writer) { fmt.Fprintln(w, t.Token) })
}

func tokenList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := asked[api.Tokens](c, "GET", below(c, "/tokens"), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "ID", "NAME", "ROLE", "CREATED", "EXPIRES", "REVOKED", "USED")
		for _, t := range all.Tokens {
			row(w, t.ID, t.Name, t.Role, shortTime(t.Created), shortTime(value(t.Expires)), shortTime(value(t.Revoked)), shortTime(value(t.Used)))
		}
	})
}

func tokenRevoke(c *cli.Context) error {
	id, err := oneArgument(c, "token id")
	if err != nil {
		return err
	}
	t, err := asked[api.Token](c, "POST", "/tokens/"+url.PathEscape(id)+"/revoke", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, t, func(w io.Writer) { fmt.Fprintf(w, "token %s (%s) is revoked\n", t.ID, t.Name) })
}

func roleCommand() *cli.Command {
	return serviceGroup("role", "names for sets of permissions",
		serviceLeaf("list", "list the roles and what they may do", " ", "", roleList, clientFlags(tenantOrService())...),
		serviceLeaf("set", "make a role, or change one", "NAME",
			`Example:

  fairlead-repo role set watcher --repo REPO --tenant acme --may device.read --may report.read

Whoever makes a role must have each of its permissions. fairlead-repo role list shows them.`,
			roleSet, clientFlags(tenantOrService(), &cli.StringSliceFlag{Name: "may", Usage: "`PERMISSION`; may be repeated"})...),
		serviceLeaf("remove", "remove a role", "NAME",
			"Tokens and grants that name it may do nothing from then on.", roleRemove, clientFlags(tenantOrService())...),
	)
}

func roleList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := asked[api.Roles](c, "GET", below(c, "/roles"), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "ROLE", "KIND", "PERMISSIONS")
		for _, r := range all.Roles {
			kind := "own"
			if r.BuiltIn {
				kind = "built in"
			}
			row(w, r.Name, kind, strings.Join(r.Permissions, " "))
		}
	})
}

func roleSet(c *cli.Context) error {
	name, err := oneArgument(c, "role")
	if err != nil {
		return err
	}
	if !c.IsSet("may") {
		return serviceUsage("--may is missing: say what the role may do")
	}
	r, err := asked[api.Role](c, "PUT", below(c, "/roles/"+url.PathEscape(name)), api.NewRole{Permissions: c.StringSlice("may")})
	if err != nil {
		return err
	}
	return serviceShow(c, r, func(w io.Writer) { fmt.Fprintf(w, "role %s may %s\n", r.Name, strings.Join(r.Permissions, ", ")) })
}

func roleRemove(c *cli.Context) error {
	name, err := oneArgument(c, "role")
	if err != nil {
		return err
	}
	done, err := asked[api.Done](c, "DELETE", below(c, "/roles/"+url.PathEscape(name)), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, done, func(w io.Writer) { fmt.Fprintf(w, "role %s is removed\n", name) })
}
