package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func enrollCommand() *cli.Command {
	group := serviceGroup("enroll", "how devices come in",
		serviceLeaf("policy", "show how devices may come in, or with --ways change it", " ",
			`Examples:

  fairlead-repo enroll policy --repo REPO --tenant acme
  fairlead-repo enroll policy --repo REPO --tenant acme --ways token,list

The ways are token (claim tokens, the default), code (claim codes that people type), list
(serials and MACs of an imported list) and custom (UUID and access key). --ways "" lets
nobody in. Devices that are in stay.`,
			enrollPolicy, tenantFlags(&cli.StringFlag{Name: "ways", Usage: "`WAYS`, with commas between them"})...),
		serviceLeaf("import", "put devices on the list of those that are waited for", "FILE",
			`Examples:

  fairlead-repo enroll import --repo REPO --tenant acme units.csv
  fairlead-repo enroll import --repo REPO --tenant acme - < units.json

CSV begins with a line of column names: serial, mac, product, hardware, group, in any order.
JSON is an array of objects with those members. If anything is wrong nothing is imported, and
each mistake is named. A device on the list enrols with the claim "list:TENANT"; the first key
that comes with its serial and MAC is bound to it, every other one goes into quarantine.`,
			enrollImport, tenantFlags()...),
		serviceLeaf("list", "list the devices that are waited for", " ", `Example:

  fairlead-repo enroll list --repo REPO --tenant acme --json`, enrollList, tenantFlags()...),
		serviceLeaf("remove", "take a device off the list; one that has enrolled stays", "NUMBER", "", enrollRemove, tenantFlags()...),
		serviceLeaf("clones", "list keys in quarantine: they came with the serial of a device that has another", " ", `Example:

  fairlead-repo enroll clones --repo REPO --tenant acme`, enrollClones, tenantFlags()...),
		serviceLeaf("resolve", "say of a key in quarantine whether it is the device", "SERIAL",
			`Examples:

  fairlead-repo enroll resolve --repo REPO --tenant acme A1234 --accept
  fairlead-repo enroll resolve --repo REPO --tenant acme A1234 --drop --key 9f0c2d

--accept is for a board or storage that was replaced: the device that had the serial is
revoked, and this key may enrol. --drop keeps the key out.`,
			enrollResolve, tenantFlags(
				&cli.BoolFlag{Name: "accept", Usage: "it is the device from now on"},
				&cli.BoolFlag{Name: "drop", Usage: "it is not"},
				&cli.StringFlag{Name: "key", Usage: "the first `DIGITS` of the key, where there are several"})...),
		serviceLeaf("code", "make a claim code for somebody to type, and print it, this once", " ",
			`Example:

  fairlead-repo enroll code --repo REPO --tenant acme --group site/room --expires 2h

The code lets one device enrol, once: fairlead-agent enroll --code 7K3M-9QXA-T`,
			enrollCode, tenantFlags(
				&cli.StringFlag{Name: "group", Usage: "`PATH` of the group that the device will be in"},
				&cli.StringFlag{Name: "expires", Usage: "good for this long, a day at most", Value: "24h"})...),
		serviceLeaf("codes", "list claim codes, without what is secret", " ", "", enrollCodes, tenantFlags()...),
	)
	group.Subcommands = append(group.Subcommands, customCommand())
	return group
}

// customCommand is about devices without certificates.
func customCommand() *cli.Command {
	return serviceGroup("custom", "devices that prove themselves by a UUID and an access key",
		serviceLeaf("add", "add a custom device and print its access key, this once", " ",
			`Example:

  fairlead-repo enroll custom add --repo REPO --tenant acme --name panel-7 --product panel --hardware panel-1

The client sends the UUID and the key as user name and password: in MQTT's CONNECT over TLS,
or by HTTP Basic; or the key alone as a bearer token.`,
			customAdd, tenantFlags(
				&cli.StringFlag{Name: "uuid", Usage: "its `UUID`; default: a new one"},
				&cli.StringFlag{Name: "name", Usage: "`NAME` for people; it stands where others have a serial"},
				&cli.StringFlag{Name: "product", Usage: "`PRODUCT` that it runs"},
				&cli.StringFlag{Name: "hardware", Usage: "`HARDWARE` that it is"},
				&cli.StringFlag{Name: "group", Usage: "`PATH` of the group that it will be in"})...),
		serviceLeaf("list", "list custom devices, without what is secret", " ", "", customList, tenantFlags()...),
		serviceLeaf("rotate", "give a custom device another access key; the old one ends at once", "UUID", `Example:

  fairlead-repo enroll custom rotate --repo REPO --tenant acme 9f0c2d1e-5b1a-4c38-8f3e-2a7d9c1b0e4f`, customRotate, tenantFlags()...),
		serviceLeaf("revoke", "withdraw a custom device and its access key, for good", "UUID", "", customRevoke, tenantFlags()...),
	)
}

// tenantFlags are those of commands about one tenant.
func tenantFlags(more ...cli.Flag) []cli.Flag {
	return clientFlags(append(more, &cli.StringFlag{Name: "tenant", Usage: "`NAME` of the tenant"})...)
}

// tenantPath is the path of something that a tenant has.
func tenantPath(c *cli.Context, rest string) (string, error) {
	if c.String("tenant") == "" {
		return "", serviceUsage("--tenant is missing")
	}
	return "/tenants/" + url.PathEscape(c.String("tenant")) + rest, nil
}

// ofTenant makes one request about a tenant.
func ofTenant[T any](c *cli.Context, method, rest string, in any) (out T, err error) {
	path, err := tenantPath(c, rest)
	if err != nil {
		return out, err
	}
	return asked[T](c, method, path, in)
}

func enrollPolicy(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	var in any
	method := "GET"
	if c.IsSet("ways") {
		p := api.Policy{Ways: []string{}}
		for way := range strings.SplitSeq(c.String("ways"), ",") {
			if way = strings.TrimSpace(way); way != "" {
				p.Ways = append(p.Ways, way)
			}
		}
		method, in = "PUT", p
	}
	p, err := ofTenant[api.Policy](c, method, "/enroll-policy", in)
	if err != nil {
		return err
	}
	return serviceShow(c, p, func(w io.Writer) {
		fmt.Fprintf(w, "tenant %s takes devices by: %s\n", c.String("tenant"), cmp.Or(strings.Join(p.Ways, ", "), "nothing"))
	})
}

func enrollImport(c *cli.Context) error {
	name, err := oneArgument(c, "file")
	if err != nil {
		return err
	}
	path, err := tenantPath(c, "/expected")
	if err != nil {
		return err
	}
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading the list: %w", err)
		}
		defer f.Close()
		in = f
	}
	list, err := io.ReadAll(io.LimitReader(in, director.MaxImport+1))
	if err != nil {
		return fmt.Errorf("reading the list: %w", err)
	}
	// Checked here too: a mistake is told without a service, and a huge file not sent.
	if _, err := director.ParseExpected(bytes.NewReader(list)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	var out api.Imported
	if err := client.Upload(c.Context, path, "application/octet-stream", bytes.NewReader(list), &out); err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) { fmt.Fprintf(w, "%d devices are waited for\n", out.Devices) })
}

func enrollList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all := api.ExpectedList{Expected: []api.Expected{}}
	for {
		page, err := ofTenant[api.ExpectedList](c, "GET", "/expected?limit=10000&after="+strconv.FormatInt(all.Next, 10), nil)
		if err != nil {
			return err
		}
		all.Expected, all.Next = append(all.Expected, page.Expected...), page.Next
		if page.Next == 0 {
			break
		}
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "NUMBER", "SERIAL", "MAC", "PRODUCT", "HARDWARE", "GROUP", "DEVICE")
		for _, e := range all.Expected {
			row(w, e.N, e.Serial, e.MAC, e.Product, e.Hardware, e.Group, e.Device)
		}
	})
}

func enrollRemove(c *cli.Context) error {
	n, err := oneArgument(c, "number")
	if err != nil {
		return err
	}
	return gone(c, "/expected/"+url.PathEscape(n), n+" is not waited for any more")
}

// gone deletes something, and says so.
func gone(c *cli.Context, rest, words string) error {
	out, err := ofTenant[api.Done](c, "DELETE", rest, nil)
	if err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) { fmt.Fprintln(w, words) })
}

func enrollClones(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := ofTenant[api.Clones](c, "GET", "/clones", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "SERIAL", "KEY", "TIMES", "FIRST", "LAST", "DEVICE THAT HAS IT")
		for _, o := range all.Clones {
			row(w, o.Serial, o.Key[:min(len(o.Key), 12)], o.Count, shortTime(o.First), shortTime(o.Last), o.Device)
		}
	})
}

func enrollResolve(c *cli.Context) error {
	serial, err := oneArgument(c, "serial")
	if err != nil {
		return err
	}
	if c.Bool("accept") == c.Bool("drop") {
		return serviceUsage("say --accept or --drop, one of both")
	}
	out, err := ofTenant[api.Clone](c, "POST", "/clones/resolve", api.Resolve{Serial: serial, Key: c.String("key"), Accept: c.Bool("accept")})
	if err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) {
		if c.Bool("accept") {
			fmt.Fprintf(w, "key %.12s may enrol as %s; the device that had the serial is revoked\n", out.Key, out.Serial)
			return
		}
		fmt.Fprintf(w, "key %.12s stays out\n", out.Key)
	})
}

func enrollCode(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	d, err := serviceDuration("expires", c.String("expires"))
	if err != nil {
		return err
	}
	out, err := ofTenant[api.Code](c, "POST", "/codes", api.NewCode{Group: c.String("group"), Seconds: int64(d.Seconds())})
	if err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) { fmt.Fprintln(w, out.Code) })
}

func enrollCodes(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all, err := ofTenant[api.Codes](c, "GET", "/codes", nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "ID", "GROUP", "EXPIRES", "USED", "DEVICE")
		for _, o := range all.Codes {
			row(w, o.ID, o.Group, shortTime(o.Expires), shortTime(value(o.Used)), o.Device)
		}
	})
}

func customAdd(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	out, err := ofTenant[api.Custom](c, "POST", "/customs", api.NewCustom{ID: c.String("uuid"), Name: c.String("name"),
		Product: c.String("product"), Hardware: c.String("hardware"), Group: c.String("group")})
	if err != nil {
		return err
	}
	return showCustomKey(c, out)
}

func showCustomKey(c *cli.Context, o api.Custom) error {
	return serviceShow(c, o, func(w io.Writer) {
		row(w, "device", o.ID)
		row(w, "access key", o.Key)
	})
}

func customList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	all := api.Customs{Customs: []api.Custom{}}
	for {
		page, err := ofTenant[api.Customs](c, "GET", "/customs?after="+url.QueryEscape(all.Next), nil)
		if err != nil {
			return err
		}
		all.Customs, all.Next = append(all.Customs, page.Customs...), page.Next
		if page.Next == "" {
			break
		}
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "UUID", "NAME", "PRODUCT", "HARDWARE", "GROUP", "REVOKED")
		for _, o := range all.Customs {
			row(w, o.ID, o.Name, o.Product, o.Hardware, o.Group, shortTime(value(o.Revoked)))
		}
	})
}

func customRotate(c *cli.Context) error {
	id, err := oneArgument(c, "UUID")
	if err != nil {
		return err
	}
	out, err := ofTenant[api.Custom](c, "POST", "/customs/"+url.PathEscape(id)+"/key", nil)
	if err != nil {
		return err
	}
	return showCustomKey(c, out)
}

func customRevoke(c *cli.Context) error {
	id, err := oneArgument(c, "UUID")
	if err != nil {
		return err
	}
	return gone(c, "/customs/"+url.PathEscape(id), "device "+id+" and its access key are withdrawn")
}
