package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// keyFlags are for every command that uses a private key.
func keyFlags() []cli.Flag {
	return []cli.Flag{passphraseFlag(), keyTimeoutFlag()}
}

func keyTimeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "key-timeout", Usage: "wait this long for a token, an agent or a service", Value: keyref.DefaultLimit}
}

// keyOptions say how this command line finds secrets.
func keyOptions(c *cli.Context, ref string) (keyref.Options, error) {
	limit := c.Duration("key-timeout")
	if c.IsSet("key-timeout") && (limit < time.Second || limit > time.Hour) {
		return keyref.Options{}, usage("--key-timeout %s: give a time from 1s to 1h", limit)
	}
	return keyref.Options{
		Passphrase: func() ([]byte, error) { return passphrase(c, ref, false) },
		PIN:        func() ([]byte, error) { return pin(c, ref) },
		Limit:      limit,
	}, nil
}

// pin is the PIN of a token. It has a variable of its own: a passphrase that is tried as a PIN costs a try.
func pin(c *cli.Context, ref string) ([]byte, error) {
	if pin, ok := os.LookupEnv(tokenuri.PINEnv); ok {
		return []byte(pin), nil
	}
	tty, err := openTerminal(fmt.Sprintf("no PIN for %s, and no terminal to ask on: use pin-source=file:/PATH in the reference, or %s", ref, tokenuri.PINEnv))
	if err != nil {
		return nil, errors.Join(keyref.ErrPIN, err)
	}
	defer tty.Close()
	return readHidden(c.Context, tty, "PIN of "+ref+" (tried once): ")
}

// openKey finds the private key of a reference.
func openKey(c *cli.Context, ref string) (*keyref.Key, error) {
	o, err := keyOptions(c, ref)
	if err != nil {
		return nil, err
	}
	return keyref.Open(c.Context, ref, o)
}

func loadSigner(c *cli.Context, ref string) (keyfile.Signer, error) {
	key, err := openKey(c, ref)
	if err != nil {
		return keyfile.Signer{}, err
	}
	return key.Signer, nil
}

// publicKey reads a public key file, or asks where a reference leads to.
func publicKey(c *cli.Context, ref string) (signer.Public, error) {
	if keyref.Scheme(ref) == "" {
		return signer.LoadPublic(ref)
	}
	key, err := openKey(c, ref)
	if err != nil {
		return signer.Public{}, err
	}
	return signer.NewPublic(key.Name, key.Public)
}

func keyExport(c *cli.Context) error {
	args, err := arguments(c, "REF", "NAME.pub")
	if err != nil {
		return err
	}
	key, err := openKey(c, args[0])
	if err != nil {
		return err
	}
	if err := keyfile.SavePublic(args[1], key.Public); err != nil {
		return err
	}
	return showKey(c, key)
}

func keyList(c *cli.Context) error {
	refs := c.Args().Slice()
	if len(refs) == 0 {
		refs = keyref.Sources(os.Getenv)
	}
	if len(refs) == 0 {
		return fmt.Errorf("nowhere to look: start ssh-agent, or set PKCS11_MODULE_PATH, or name a place: key list pkcs11:?module-path=/PATH.so")
	}
	all := []keyref.Listed{}
	for _, ref := range refs {
		o, err := keyOptions(c, ref)
		if err != nil {
			return err
		}
		// To list is no reason to ask for a PIN.
		o.PIN = func() ([]byte, error) {
			pin, _ := os.LookupEnv(tokenuri.PINEnv)
			return []byte(pin), nil
		}
		listed, err := keyref.List(c.Context, ref, o)
		if err != nil {
			return err
		}
		all = slices.Concat(all, listed)
	}
	return show(c, all, listWriter(all))
}
