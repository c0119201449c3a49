package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

func keyCommand() *cli.Command {
	return group("key", "make and show keys",
		command("new", "make a key pair, NAME.key and NAME.pub", "NAME",
			`NAME.key never leaves your machine. Give NAME.pub to whoever holds the ceremony, and
read them its key id in person.

  fairlead-sign key new alice
  fairlead-sign key new build --type ecdsa-p256 --passphrase-file secret.txt`,
			[]cli.Flag{
				&cli.StringFlag{Name: "type", Usage: "ed25519 or ecdsa-p256", Value: string(keyfile.Ed25519)},
				&cli.BoolFlag{Name: "no-passphrase", Usage: "leave the private key in the clear, for a machine that signs alone"},
				passphraseFlag(), jsonFlag(),
			}, keyNew),
		command("show", "show a key's id and type, never its secret", "FILE",
			`  fairlead-sign key show alice.pub`,
			[]cli.Flag{jsonFlag()}, keyShow),
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

func keyShow(c *cli.Context) error {
	args, err := arguments(c, "FILE")
	if err != nil {
		return err
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
