package signer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fairlead/fairlead/firmware/durable"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// NewKey makes a key pair, name.key and name.pub. An empty passphrase leaves the private key in the clear. Neither
// file is ever overwritten; where one exists, none is made.
func NewKey(name string, alg keyfile.Algorithm, passphrase []byte) (Public, error) {
	for _, path := range []string{name + ".key", name + ".pub"} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return Public{}, fmt.Errorf("%s exists and is not overwritten: choose another name: %w", path, errors.Join(err, fs.ErrExist))
		}
	}
	key, err := keyfile.Generate(alg)
	if err != nil {
		return Public{}, err
	}
	// The public half first: alone it does no harm.
	if err := keyfile.SavePublic(name+".pub", key.Public()); err != nil {
		return Public{}, err
	}
	if err := keyfile.Save(name+".key", key, passphrase); err != nil {
		return Public{}, errors.Join(err, durable.Remove(name+".pub"))
	}
	return LoadPublic(name + ".pub")
}
