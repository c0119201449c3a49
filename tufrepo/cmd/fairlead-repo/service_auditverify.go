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
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/director/audit"
	"github.com/fairlead/fairlead/tufrepo/director/auditlog"
	"github.com/fairlead/fairlead/tufrepo/director/store"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

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
