package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/director"
	"github.com/fairlead/fairlead/tufrepo/director/kms"
	"github.com/fairlead/fairlead/tufrepo/service"
)

// plainKey is the reference of a key file that no service wraps.
const plainKey = "file"

func sealKeyCommand() *cli.Command {
	return serviceLeaf("seal-key", "encrypt the service's key file by a key management service", "REF",
		`Examples:

  fairlead-repo seal-key --repo /srv/fairlead 'awskms://alias/fairlead?region=eu-west-1'
  fairlead-repo seal-key --repo /srv/fairlead hashivault://fairlead
  fairlead-repo seal-key --repo /srv/fairlead file

The key file, under which the online keys of tenants are encrypted, is then of no use to whoever
copies it without the key management service: it is asked once at each start of the service, by
restore, and by this command. Everything that is sealed, and every backup, stays as it is. REF is
awskms://, gcpkms://, azurekeyvault:// or hashivault:// with the key, and credentials come from
where the cloud's own tools look (for Vault: VAULT_ADDR and VAULT_TOKEN); "file" puts the key into
the file in the clear again. Where the file is wrapped already, it is wrapped anew: by another key,
or by the newest version of the same one after a rotation there.

The file is replaced in one step, after the service has given the key back. Copies of the file as
it was still open everything. fairlead-repo has to be built with make build KMS=kms.`,
		sealKey, serviceRepoFlag(), keyFileFlag())
}

// sealedKey is what seal-key prints.
type sealedKey struct {
	File string `json:"file"`
	ID   string `json:"id"`
	KMS  string `json:"kms,omitempty"`
}

func sealKey(c *cli.Context) error {
	ref, err := oneArgument(c, "key")
	if err != nil {
		return err
	}
	if c.String("repo") == "" {
		return serviceUsage("--repo is missing")
	}
	out, err := wrapKeyFile(c.Context, c.String("repo"), c.String("key-file"), ref, true)
	if err != nil {
		return err
	}
	return serviceShow(c, out, func(w io.Writer) {
		fmt.Fprintf(w, "%s with key %s is encrypted by %s\n", out.File, out.ID, orElse(out.KMS, "nobody"))
	})
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// wrapKeyFile brings a service's key file under ref; one that is there already only where anew says so. A service that
// has none gets one.
func wrapKeyFile(ctx context.Context, repo, file, ref string, anew bool) (sealedKey, error) {
	if ref == plainKey {
		ref = ""
	} else if err := kms.Check(ref); err != nil {
		return sealedKey{}, serviceUsage("%v", err)
	}
	if file == "" {
		file = service.DefaultKeyFile(repo)
	}
	now, err := director.SealKeyReference(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sealedKey{}, err
	}
	key, err := service.OpenKeyFile(filepath.Clean(repo), file)
	if err != nil {
		return sealedKey{}, err
	}
	if now != ref || anew && ref != "" {
		err = director.WrapSealKey(ctx, file, ref)
	}
	return sealedKey{file, key.ID(), ref}, err
}
