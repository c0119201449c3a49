package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/cmdline"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

func keyCommand() *cli.Command {
	return group("key", "make and show keys",
		command("new", "make a key pair, NAME.key and NAME.pub, or one within a token", "NAME|REF",
			`NAME.key never leaves your machine. Give NAME.pub to whoever holds the ceremony, and
read them its key id in person.

  fairlead-sign key new alice
  fairlead-sign key new build --type ecdsa-p256 --passphrase-file secret.txt

Within a token, which never gives it away; most tokens know ecdsa-p256 only:

  fairlead-sign key new 'pkcs11:token=ceremony;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so' --type ecdsa-p256`,
			[]cli.Flag{
				&cli.StringFlag{Name: "type", Usage: "ed25519 or ecdsa-p256", Value: string(keyfile.Ed25519)},
				&cli.BoolFlag{Name: "no-passphrase", Usage: "leave the private key in the clear, for a machine that signs alone"},
				passphraseFlag(), keyTimeoutFlag(), jsonFlag(),
			}, keyNew),
		command("show", "show a key's id and type, never its secret", "REF",
			`REF is a key file, public or private, or leads to a key that lies elsewhere; see docs/keys.md.

  fairlead-sign key show alice.pub
  fairlead-sign key show 'pkcs11:token=ceremony;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so'
  fairlead-sign key show ssh-agent:alice@example.com`,
			append(keyFlags(), jsonFlag()), keyShow),
		command("export", "write the public half of a key, wherever it lies", "REF NAME.pub",
			`  fairlead-sign key export ssh-agent:alice@example.com alice.pub`,
			append(keyFlags(), jsonFlag()), keyExport),
		command("list", "list the keys on tokens and in ssh-agent", "[REF...]",
			`Without REF: the tokens of PKCS11_MODULE_PATH, and ssh-agent, as far as they are there.

  fairlead-sign key list 'pkcs11:?module-path=/usr/lib/softhsm/libsofthsm2.so' ssh-agent:`,
			append(keyFlags(), jsonFlag()), keyList),
	)
}

func keyNew(c *cli.Context) error {
	args, err := arguments(c, "NAME")
	if err != nil {
		return err
	}
	alg := keyfile.Algorithm(c.String("type"))
	if alg != keyfile.Ed25519 && alg != keyfile.ECDSAP256 {
		return usage("--type %q: use %s or %s", alg, keyfile.Ed25519, keyfile.ECDSAP256)
	}
	if keyref.Scheme(args[0]) != "" {
		return keyNewInToken(c, args[0], alg)
	}
	var phrase []byte
	if !c.Bool("no-passphrase") {
		if phrase, err = passphrase(c, args[0]+".key", true); err != nil {
			return err
		}
	}
	key, err := signer.NewKey(args[0], alg, phrase)
	if err != nil {
		return err
	}
	made := struct {
		Private string `json:"private"`
		Public  string `json:"public"`
		signer.Person
	}{args[0] + ".key", args[0] + ".pub", key.Person}
	return show(c, made, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "private key %s: keep it, and a copy of it in another safe place\npublic key  %s: give it away\nkey id      %s\n",
			made.Private, made.Public, made.ID)
		return err
	})
}

func keyNewInToken(c *cli.Context, ref string, alg keyfile.Algorithm) error {
	o, err := keyOptions(c, ref)
	if err != nil {
		return err
	}
	key, err := keyref.Create(c.Context, ref, alg, o)
	if err != nil {
		return err
	}
	return showKey(c, key)
}

func keyShow(c *cli.Context) error {
	args, err := arguments(c, "REF")
	if err != nil {
		return err
	}
	if keyref.Scheme(args[0]) != "" {
		key, err := openKey(c, args[0])
		if err != nil {
			return err
		}
		return showKey(c, key)
	}
	in, err := signer.Inspect(args[0], time.Now())
	if err != nil {
		return err
	}
	if in.Kind != signer.KindPublicKey && in.Kind != signer.KindPrivateKey {
		return usage("%s is not a key but %s; use: inspect", args[0], in.Kind)
	}
	return show(c, in, in.WriteText)
}

// showKey prints a key that lies elsewhere.
func showKey(c *cli.Context, key *keyref.Key) error {
	listed, err := key.Listed()
	if err != nil {
		return err
	}
	return show(c, listed, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\ntype %s\nkey id %s\n", key.Where, listed.Type, listed.ID)
		return err
	})
}

func listWriter(keys []keyref.Listed) func(io.Writer) error {
	return func(w io.Writer) error {
		if len(keys) == 0 {
			_, err := fmt.Fprintln(w, "no keys")
			return err
		}
		for _, k := range keys {
			about := fmt.Sprintf("%s  key id %s", k.Type, k.ID)
			if k.Unusable != "" {
				about = "cannot sign metadata: " + k.Unusable
			}
			if _, err := fmt.Fprintf(w, "%s\n    %s\n", cmdline.Printable(k.Ref), cmdline.Printable(about)); err != nil {
				return err
			}
		}
		return nil
	}
}
