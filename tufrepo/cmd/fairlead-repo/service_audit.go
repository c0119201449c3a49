package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// Files of an export.
const (
	exportRows  = "rows.bin"
	exportHeads = "heads.json"
	// maxHeads bounds what is read of the second, in bytes.
	maxHeads = 64 << 20
)

func auditCommand() *cli.Command {
	return serviceGroup("audit", "the log of who did what",
		serviceLeaf("list", "list entries, the newest first", " ",
			`Examples:

  fairlead-repo audit list --repo REPO --tenant acme
  fairlead-repo audit list --repo REPO --tenant acme --action rollout. --since 24h
  fairlead-repo audit list --repo REPO --outcome refused --json

An action that ends in a dot, and an object that ends in a slash, stand for all of a kind.
Without --tenant it is the log of the service itself.`,
			auditList, clientFlags(tenantOrService(),
				&cli.StringFlag{Name: "actor", Usage: "`KIND/ID`, or KIND: token, device, system, nobody"},
				&cli.StringFlag{Name: "action", Usage: "`NOUN.VERB`, or NOUN."},
				&cli.StringFlag{Name: "object", Usage: "`KIND/ID`, or KIND/"},
				&cli.StringFlag{Name: "outcome", Usage: "ok, refused or failed"},
				&cli.StringFlag{Name: "since", Usage: "a `TIME` like 2026-09-01T00:00:00Z, or how long ago, such as 24h or 7d"},
				&cli.StringFlag{Name: "until", Usage: "a `TIME`, as --since"},
				&cli.IntFlag{Name: "limit", Usage: "at most `N`", Value: 100})...),
		serviceLeaf("export", "write the log into a folder, to be kept and checked elsewhere", "FOLDER",
			`Example:

  fairlead-repo audit export acme-log --repo REPO --tenant acme

The folder gets rows.bin, all rows as they were hashed, and heads.json, the signed heads
and the public keys. Keep heads.json where the service cannot write: one head pins every
row before it.`, auditExport, clientFlags(tenantOrService())...),
		serviceLeaf("verify", "check that no row was altered, deleted or added", " ",
			`Examples:

  fairlead-repo audit verify --repo REPO --tenant acme
  fairlead-repo audit verify --export acme-log --key audit.heads.1.pub
  fairlead-repo audit verify --database copy.db --tenant acme --key audit.heads.1.pub --heads kept/heads.json

The first asks the running service. The others need none; work on a copy of the database.
--key are the public keys that may have signed, by default those in the export's heads.json,
or beside the database in keys/; trust those that you have kept yourself. --heads are heads
that were kept elsewhere.

Exit code 7 if the log was changed; the output says which rows.`,
			auditVerify, clientFlags(tenantOrService(),
				&cli.StringFlag{Name: "export", Usage: "`FOLDER` of an export"},
				&cli.StringFlag{Name: "database", Usage: "`FILE` of a database"},
				&cli.StringSliceFlag{Name: "key", Usage: "public key `FILE`; may be repeated"},
				&cli.StringSliceFlag{Name: "heads", Usage: "heads.json `FILE` of an earlier export; may be repeated"})...),
	)
}

func auditList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	q := url.Values{}
	for _, flag := range []string{"actor", "action", "object", "outcome"} {
		q.Set(flag, c.String(flag))
	}
	for _, flag := range []string{"since", "until"} {
		text, err := moment(flag, c.String(flag), time.Now())
		if err != nil {
			return err
		}
		q.Set(flag, text)
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	all := api.AuditEntries{Entries: []api.AuditEntry{}}
	for most := c.Int("limit"); len(all.Entries) < most; {
		q.Set("limit", strconv.Itoa(min(most-len(all.Entries), 1000)))
		var page api.AuditEntries
		if err := client.Do(c.Context, "GET", below(c, "/audit")+"?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all.Entries, all.Next = append(all.Entries, page.Entries...), page.Next
		if page.Next == 0 {
			break
		}
		q.Set("before", strconv.FormatInt(page.Next, 10))
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "SEQ", "TIME", "ACTOR", "ROLE", "ACTION", "OBJECT", "OUTCOME", "SOURCE", "DETAIL")
		for _, e := range all.Entries {
			row(w, e.Seq, shortTime(e.Time), e.Actor, e.Role, e.Action, e.Object, e.Outcome, e.Source, string(e.Detail))
		}
	})
}

// moment is a time that is given as such, or as how long ago it was.
func moment(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		ago, err := serviceDuration(flag, text)
		if err != nil {
			return "", serviceUsage("--%s %q: give a time such as 2026-09-01T00:00:00Z, or 24h or 7d for how long ago", flag, text)
		}
		t = now.Add(-ago)
	}
	return t.UTC().Format(time.RFC3339), nil
}

func auditExport(c *cli.Context) error {
	dir, err := oneArgument(c, "folder")
	if err != nil {
		return err
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	// The heads first: rows that are added meanwhile only add to what they prove.
	var heads api.AuditHeads
	if err := client.Do(c.Context, "GET", below(c, "/audit/heads"), nil, &heads); err != nil {
		return err
	}
	text, err := json.Marshal(heads)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, exportHeads), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("exporting the audit log: %w", err)
	}
	n, err := exportTo(c, client, filepath.Join(dir, exportRows))
	if err != nil {
		return fmt.Errorf("exporting the audit log (what is in %s is not all of it): %w", dir, err)
	}
	out := struct {
		Folder string `json:"folder"`
		Chain  string `json:"chain"`
		Bytes  int64  `json:"bytes"`
		Heads  int    `json:"heads"`
	}{dir, heads.Chain, n, len(heads.Heads)}
	return serviceShow(c, out, func(w io.Writer) {
		fmt.Fprintf(w, "audit chain %s: %d bytes of rows and %d signed heads in %s\n", out.Chain, out.Bytes, out.Heads, dir)
	})
}

func exportTo(c *cli.Context, client api.Client, path string) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = client.Download(c.Context, below(c, "/audit/export"), f)
	return n, errors.Join(err, f.Sync(), f.Close())
}
