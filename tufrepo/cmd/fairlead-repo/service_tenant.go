package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func tenantCommand() *cli.Command {
	return serviceGroup("tenant", "organisations and their directors",
		serviceLeaf("key", "make a tenant's online key and print its public half", "NAME",
			`Example, the whole of making a tenant:

  fairlead-repo tenant key acme --repo REPO > acme.pub
  fairlead-sign root new --out director --root-key alice.pub --targets-key acme.pub \
      --timestamp-key acme.pub --snapshot-key acme.pub
  fairlead-sign sign director --key alice.key
  fairlead-repo tenant add acme --repo REPO --root director

The private half stays in the service. Asking again prints the same key; --rotate makes a
successor once the key is in use, which the next root must name.`,
			tenantKey, clientFlags(&cli.BoolFlag{Name: "rotate", Usage: "make a successor to the key in use"})...),
		serviceLeaf("add", "add a tenant by its director root, or bring it a new root", "NAME",
			`Examples:

  fairlead-repo tenant add acme --repo REPO --root director
  fairlead-repo tenant add acme --repo REPO --root director/metadata/2.root.json

The root is verified: by its own keys, by those of the root before it, and that it lets an
online key of this service sign directions.`,
			tenantAdd, clientFlags(&cli.StringSliceFlag{Name: "root", Usage: "bundle `FOLDER`, or one root file; may be repeated"})...),
		serviceLeaf("list", "list the tenants", " ", "", tenantList, clientFlags()...),
		serviceLeaf("purge", "erase a tenant with all its devices, keys and logs", "NAME",
			`Example:

  fairlead-repo tenant purge acme --repo REPO --yes-delete acme

There is no way back but a backup. Its devices are strangers from then on. That it was done
stands in the audit log of the service.`,
			tenantPurge, clientFlags(&cli.StringFlag{Name: "yes-delete", Usage: "the tenant's `NAME` once more"})...),
	)
}

func tenantKey(c *cli.Context) error {
	name, err := oneArgument(c, "tenant")
	if err != nil {
		return err
	}
	key, err := asked[api.Key](c, "POST", "/tenants/"+name+"/key", api.NewKey{Rotate: c.Bool("rotate")})
	if err != nil {
		return err
	}
	return serviceShow(c, key, func(w io.Writer) { io.WriteString(w, key.Public) })
}

func tenantAdd(c *cli.Context) error {
	name, err := oneArgument(c, "tenant")
	if err != nil {
		return err
	}
	if !c.IsSet("root") {
		return serviceUsage("--root is missing")
	}
	in := api.NewTenant{Name: name}
	for _, path := range c.StringSlice("root") {
		roots, err := readRoots(path)
		if err != nil {
			return fmt.Errorf("reading director roots: %w", err)
		}
		in.Roots = append(in.Roots, roots...)
	}
	t, err := asked[api.Tenant](c, "POST", "/tenants", in)
	if err != nil {
		return err
	}
	return serviceShow(c, t, func(w io.Writer) { fmt.Fprintf(w, "tenant %s has director root %d\n", t.Name, t.Root) })
}

// readRoots reads one root file, or all of a bundle by rising version.
func readRoots(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		text, err := readRoot(path)
		return []string{text}, err
	}
	var out []string
	for v := firstRoot(path); ; v++ {
		text, err := readRoot(filepath.Join(path, filepath.FromSlash(bundle.MetadataName(v, "root"))))
		if errors.Is(err, fs.ErrNotExist) && len(out) > 0 {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
}

// firstRoot is the lowest root version of a bundle; a bundle that rotates begins later than 1.
func firstRoot(dir string) int64 {
	first := int64(1)
	names, _ := filepath.Glob(filepath.Join(dir, "metadata", "*.root.json")) // the pattern is good
	for i, name := range names {
		var v int64
		if n, err := fmt.Sscanf(filepath.Base(name), "%d.root.json", &v); err == nil && n == 1 && (i == 0 || v < first) {
			first = v
		}
	}
	return first
}

func readRoot(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, bundle.MaxRoot+1))
	if err == nil && len(b) > bundle.MaxRoot {
		err = fmt.Errorf("%s is larger than a root may be", path)
	}
	return string(b), err
}

func tenantList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := asked[api.Tenants](c, "GET", "/tenants", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "TENANT", "ROOT", "DEVICES", "CREATED")
		for _, t := range all.Tenants {
			row(w, t.Name, t.Root, t.Devices, shortTime(t.Created))
		}
	})
}

func tenantPurge(c *cli.Context) error {
	name, err := oneArgument(c, "tenant")
	if err != nil {
		return err
	}
	if c.String("yes-delete") != name {
		return serviceUsage("to erase tenant %s, say so: --yes-delete %s", name, name)
	}
	out, err := asked[api.Done](c, "POST", "/tenants/"+url.PathEscape(name)+"/purge", api.Purge{Confirm: name})
	if err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) { fmt.Fprintf(w, "tenant %s is erased\n", name) })
}

func claimCommand() *cli.Command {
	return serviceGroup("claim-token", "tokens that let devices enrol",
		serviceLeaf("new", "make a claim token and print it, this once", " ",
			`Example:

  fairlead-repo claim-token new --repo REPO --tenant acme --uses 20 --expires 24h > claim

The service keeps only a hash of it.`,
			claimNew, clientFlags(
				&cli.StringFlag{Name: "tenant", Usage: "`NAME` of the tenant"},
				&cli.Int64Flag{Name: "uses", Usage: "`N` devices may enrol with it", Value: 1},
				&cli.StringFlag{Name: "product", Usage: "only for devices of this `PRODUCT`"},
				&cli.StringFlag{Name: "group", Usage: "`PATH` of the group that they will be in"},
				&cli.StringFlag{Name: "expires", Usage: "good for this long, such as 24h or 30d", Value: "24h"})...),
		serviceLeaf("list", "list claim tokens, without what is secret", " ", "", claimList, clientFlags()...),
		serviceLeaf("revoke", "withdraw a claim token; devices that have enrolled with it stay", "ID", `Example:

  fairlead-repo claim-token revoke --repo REPO --tenant acme 4f1d2a9c0b7e`, claimRevoke, tenantFlags()...),
	)
}

func claimNew(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("tenant") == "" {
		return serviceUsage("--tenant is missing")
	}
	d, err := serviceDuration("expires", c.String("expires"))
	if err != nil {
		return err
	}
	claim, err := asked[api.Claim](c, "POST", "/claim-tokens", api.NewClaim{Tenant: c.String("tenant"), Uses: c.Int64("uses"), Seconds: int64(d.Seconds()),
		Product: c.String("product"), Group: c.String("group")})
	if err != nil {
		return err
	}
	return serviceShow(c, claim, func(w io.Writer) { fmt.Fprintln(w, claim.Token) })
}

func claimRevoke(c *cli.Context) error {
	id, err := oneArgument(c, "id")
	if err != nil {
		return err
	}
	return gone(c, "/claim-tokens/"+url.PathEscape(id), "claim token "+id+" is withdrawn")
}

func claimList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := asked[api.Claims](c, "GET", "/claim-tokens", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "ID", "TENANT", "USES LEFT", "EXPIRES", "PRODUCT", "GROUP", "WITHDRAWN")
		for _, one := range all.Claims {
			row(w, one.ID, one.Tenant, strconv.FormatInt(one.Uses, 10), shortTime(one.Expires), one.Product, one.Group, shortTime(value(one.Revoked)))
		}
	})
}
