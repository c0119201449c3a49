package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
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

func auditVerify(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("export") == "" && c.String("database") == "" {
		if c.IsSet("key") || c.IsSet("heads") {
			return serviceUsage("--key and --heads go with --export or --database")
		}
		client, err := serviceClient(c)
		if err != nil {
			return err
		}
		client.HTTP = &http.Client{} // a long log takes its time
		var r api.AuditReport
		if err := client.Do(c.Context, "POST", below(c, "/audit/verify"), nil, &r); err != nil {
			return err
		}
		return showReport(c, r.Whole, r, r.Text)
	}
	report, err := verifyOffline(c)
	if err != nil && !errors.Is(err, audit.ErrTampered) {
		return err
	}
	return showReport(c, err == nil, report, report.String())
}

// errTampered makes verify exit with its own code; the rows stand in its output.
var errTampered = errors.New("the audit log was changed: see above")

func showReport(c *cli.Context, whole bool, v any, text string) error {
	if err := serviceShow(c, v, func(w io.Writer) { io.WriteString(w, text) }); err != nil {
		return err
	}
	if !whole {
		return errTampered
	}
	return nil
}

func verifyOffline(c *cli.Context) (audit.Report, error) {
	if c.String("export") != "" && c.String("database") != "" {
		return audit.Report{}, serviceUsage("give --export or --database, one of both")
	}
	var kept []audit.SignedHead
	for _, path := range c.StringSlice("heads") {
		h, err := readHeads(path)
		if err != nil {
			return audit.Report{}, err
		}
		kept = append(kept, signedHeads(h)...)
	}
	if dir := c.String("export"); dir != "" {
		return verifyExport(c, dir, kept)
	}
	return verifyDatabase(c, c.String("database"), kept)
}

func signedHeads(h api.AuditHeads) (out []audit.SignedHead) {
	for _, raw := range h.Heads {
		out = append(out, audit.SignedHead(raw))
	}
	return out
}

func readHeads(path string) (h api.AuditHeads, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, fmt.Errorf("reading heads of the audit log: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeads))
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		return h, fmt.Errorf("reading heads of the audit log from %s: %w", path, err)
	}
	return h, nil
}

func verifyExport(c *cli.Context, dir string, kept []audit.SignedHead) (audit.Report, error) {
	heads, err := readHeads(filepath.Join(dir, exportHeads))
	if err != nil {
		return audit.Report{}, err
	}
	keys, err := auditKeys(c, func() ([]string, error) { return heads.Keys, nil })
	if err != nil {
		return audit.Report{}, err
	}
	from := audit.Head{Chain: heads.Chain, Seq: heads.From.Seq}
	if from.Hash, err = firmware.ParseDigest(heads.From.Hash); err != nil {
		return audit.Report{}, fmt.Errorf("reading heads of the audit log from %s: %w", dir, err)
	}
	f, err := os.Open(filepath.Join(dir, exportRows))
	if err != nil {
		return audit.Report{}, fmt.Errorf("reading the audit log: %w", err)
	}
	defer f.Close()
	return audit.Verify(audit.ReadRows(f), from, append(signedHeads(heads), kept...), keys)
}

func verifyDatabase(c *cli.Context, path string, kept []audit.SignedHead) (audit.Report, error) {
	keys, err := auditKeys(c, func() ([]string, error) { return keysBeside(path) })
	if err != nil {
		return audit.Report{}, err
	}
	if _, err := os.Stat(path); err != nil && !strings.Contains(path, "://") {
		return audit.Report{}, fmt.Errorf("reading the audit log: %w", err)
	}
	s, err := store.Open(c.Context, path, store.Options{})
	if err != nil {
		return audit.Report{}, err
	}
	defer s.Close()
	return auditlog.Verify(context.WithoutCancel(c.Context), s, c.String("tenant"), keys, kept)
}

// auditKeys are the keys that --key names, or those that come with what is checked.
func auditKeys(c *cli.Context, come func() ([]string, error)) (audit.Keys, error) {
	texts, err := readAll(c.StringSlice("key"))
	if err == nil && len(texts) == 0 {
		texts, err = come()
	}
	if err != nil {
		return nil, fmt.Errorf("key of the audit log: %w", err)
	}
	if len(texts) == 0 {
		return nil, errors.New("there is no key to check the signed heads with: name one with --key")
	}
	var keys []crypto.PublicKey
	for _, text := range texts {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "PUBLIC KEY" {
			return nil, errors.New("key of the audit log: it is not a public key in PEM: name the .pub file")
		}
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key of the audit log: %w", err)
		}
		keys = append(keys, pub)
	}
	return audit.NewKeys(keys...)
}

// keysBeside are the public keys that the service has left beside its database.
func keysBeside(database string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(database), "keys", "audit.heads.*.pub"))
	if err != nil {
		return nil, err
	}
	return readAll(paths)
}

func readAll(paths []string) (out []string, err error) {
	for _, path := range paths {
		text, err := readSmall(path)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}
