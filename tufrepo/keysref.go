package tufrepo

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

const (
	refEnding = ".ref"
	maxRef    = 4 << 10
)

// AddKey makes a key that lies elsewhere an online key: on a token, in an HSM, in ssh-agent, in a cloud, in a file outside of the
// folder. It has to be there now; what is kept is the reference and the public half, which every later signature has to
// verify with. Errors: those of keyref.Open, fs.ErrExist.
func (r *Repo) AddKey(ctx context.Context, name, ref string) (Key, error) {
	if !keyNameForm.MatchString(name) {
		return Key{}, fmt.Errorf("key name %.80q: use 1 to 64 of a-z, 0-9 and -", name)
	}
	if err := checkRef(ref); err != nil {
		return Key{}, err
	}
	unlock, err := r.lock()
	if err != nil {
		return Key{}, err
	}
	defer unlock()
	for _, ending := range []string{".key", refEnding} {
		if _, err := os.Lstat(r.path(path.Join(keysDir, name+ending))); err == nil {
			return Key{}, fmt.Errorf("key %s exists: choose another name: %w", name, fs.ErrExist)
		}
	}
	key, err := keyref.Open(ctx, ref, refOptions())
	if err != nil {
		return Key{}, err
	}
	public := r.path(path.Join(keysDir, name+".pub"))
	if err := keyfile.SavePublic(public, key.Public); err != nil && !samePublic(public, key.Public, err) {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	file := path.Join(keysDir, name+refEnding)
	err = r.change(file, func() error { return r.disk.WriteFile(r.path(file), []byte(ref+"\n"), 0o600) })
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	return r.loadKey(name)
}

// samePublic tells whether a public half that is there already is that of this key, as after a crash.
func samePublic(path string, pub crypto.PublicKey, err error) bool {
	have, loadErr := keyfile.LoadPublic(path)
	same, ok := have.(interface{ Equal(crypto.PublicKey) bool })
	return errors.Is(err, fs.ErrExist) && loadErr == nil && ok && same.Equal(pub)
}

// checkRef refuses references that mean something else to whoever reads them later.
func checkRef(ref string) error {
	switch {
	case len(ref) > maxRef:
		return fmt.Errorf("key %.80q: %w: it is longer than %d bytes", ref, keyref.ErrReference, maxRef)
	case strings.ContainsAny(ref, "\n\r\x00"):
		return fmt.Errorf("key %.80q: %w: it holds a line break or a zero byte", ref, keyref.ErrReference)
	case ref == "":
		return fmt.Errorf("%w: it is empty", keyref.ErrReference)
	case keyref.Scheme(ref) == "" && !filepath.IsAbs(ref):
		return fmt.Errorf("key file %.200q: name it by its whole path: the service does not run in this folder", ref)
	}
	return nil
}

// parseRef reads the one line of a .ref file.
func parseRef(raw []byte) (string, error) {
	ref := strings.TrimSuffix(string(raw), "\n")
	return ref, checkRef(ref)
}

// refOptions: nobody is there to type.
func refOptions() keyref.Options {
	return keyref.Options{PIN: func() ([]byte, error) {
		pin, ok := os.LookupEnv(tokenuri.PINEnv)
		if !ok {
			return nil, fmt.Errorf("%w: write pin-source=file:/PATH into the reference, or set %s", keyref.ErrPIN, tokenuri.PINEnv)
		}
		return []byte(pin), nil
	}}
}

// loadRef is a key that is looked for when it is to sign.
func (r *Repo) loadRef(name string) (Key, error) {
	f, err := os.Open(r.path(path.Join(keysDir, name+refEnding)))
	if err != nil {
		return Key{}, fmt.Errorf("online key: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRef+2))
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	ref, err := parseRef(raw)
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", f.Name(), err)
	}
	pub, err := keyfile.LoadPublic(r.path(path.Join(keysDir, name+".pub")))
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	key, err := r.onlineKey(name, pub, &remoteKey{repo: r, name: name, ref: ref})
	key.Where = ref
	return key, err
}

// remoteKey opens its reference for every signature: tokens are unplugged, agents and services restarted.
type remoteKey struct {
	repo      *Repo
	name, ref string
}

// SignMessage implements keyfile.MessageSigner; what it returns is verified with the public half that is kept.
func (k *remoteKey) SignMessage(msg []byte) ([]byte, error) {
	if err, refused := k.repo.refused.Load(k.ref); refused {
		return nil, fmt.Errorf("%w; it is not tried again, so that the token does not lock itself: put the PIN right, and start again", err.(error))
	}
	key, err := keyref.Open(context.Background(), k.ref, refOptions())
	if err == nil {
		var sig []byte
		if sig, err = key.SignMessage(strings.NewReader(string(msg))); err == nil {
			return sig, nil
		}
	}
	err = fmt.Errorf("online key %s: %w", k.name, err)
	if errors.Is(err, keyref.ErrPIN) {
		k.repo.refused.Store(k.ref, err)
	}
	return nil, err
}
