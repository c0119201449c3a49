package tufrepo

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

var keyNameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Key is an online key of the repository.
type Key struct {
	Name      string            `json:"name"` // file name without ending
	ID        string            `json:"id"`
	Algorithm keyfile.Algorithm `json:"algorithm"`
	Public    string            `json:"public"`          // path of the public key
	Where     string            `json:"where,omitempty"` // the reference of a key that lies elsewhere
	Roles     []string          `json:"roles"`           // what the newest root lets it sign

	signer keyfile.Signer
}

// NewKey makes another online key, to take the place of one when the next
// root names it. Which key signs what is for the root to say, not the name.
func (r *Repo) NewKey(name string, alg keyfile.Algorithm) (Key, error) {
	if !keyNameForm.MatchString(name) {
		return Key{}, fmt.Errorf("key name %.80q: use 1 to 64 of a-z, 0-9 and -", name)
	}
	unlock, err := r.lock()
	if err != nil {
		return Key{}, err
	}
	defer unlock()
	if _, err := r.newKey(name, alg); err != nil {
		return Key{}, err
	}
	return r.loadKey(name)
}

func (r *Repo) newKey(name string, alg keyfile.Algorithm) (public string, err error) {
	if err := r.disk.MkdirAll(r.path(keysDir), stateMode); err != nil {
		return "", err
	}
	private := path.Join(keysDir, name+".key")
	public = r.path(path.Join(keysDir, name+".pub"))
	if _, err := os.Lstat(r.path(private)); err == nil {
		return "", r.restorePublic(private, public)
	}
	key, err := keyfile.Generate(alg)
	if err != nil {
		return "", err
	}
	err = r.change(private, func() error { return keyfile.Save(r.path(private), key, nil) })
	if err != nil {
		return "", err
	}
	return public, keyfile.SavePublic(public, key.Public())
}

// restorePublic writes the public half again if a crash came between the two.
// The key itself is there already, which is an error all the same.
func (r *Repo) restorePublic(private, public string) error {
	key, err := keyfile.Load(r.path(private), nil)
	if err != nil {
		return err
	}
	err = keyfile.SavePublic(public, key.Public())
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fmt.Errorf("key %s exists: choose another name: %w", r.path(private), fs.ErrExist)
}

// Keys lists the online keys by name.
func (r *Repo) Keys() ([]Key, error) {
	all, err := r.loadKeys()
	if err != nil {
		return nil, err
	}
	return all, r.addRoles(all)
}

func (r *Repo) loadKeys() ([]Key, error) {
	entries, err := os.ReadDir(r.path(keysDir))
	if err != nil {
		return nil, fmt.Errorf("reading online keys: %w", err)
	}
	var all []Key
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".key")
		if !ok {
			name, ok = strings.CutSuffix(e.Name(), refEnding)
		}
		if !ok {
			continue
		}
		key, err := r.loadKey(name)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	return all, nil
}

func (r *Repo) addRoles(keys []Key) error {
	fsys, err := r.FS()
	if err != nil {
		return err
	}
	base, err := bundle.LoadOwn(fsys)
	if err != nil || base.Empty() {
		return err
	}
	for i := range keys {
		keys[i].Roles = []string{}
		for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
			if slices.Contains(bundle.ByRoot(base.Root(), role).KeyIDs, keys[i].ID) {
				keys[i].Roles = append(keys[i].Roles, role)
			}
		}
	}
	return nil
}

func (r *Repo) loadKey(name string) (Key, error) {
	key, err := keyfile.Load(r.path(path.Join(keysDir, name+".key")), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return r.loadRef(name)
	}
	if err != nil {
		return Key{}, fmt.Errorf("online key: %w", err)
	}
	signer, err := keyfile.NewSigner(key)
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	return r.describeKey(name, key.Public(), signer)
}

func (r *Repo) onlineKey(name string, pub crypto.PublicKey, key keyfile.MessageSigner) (Key, error) {
	signer, err := keyfile.NewMessageSigner(pub, key)
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	return r.describeKey(name, pub, signer)
}

func (r *Repo) describeKey(name string, pub crypto.PublicKey, signer keyfile.Signer) (Key, error) {
	alg, err := keyfile.AlgorithmOf(pub)
	if err != nil {
		return Key{}, fmt.Errorf("online key %s: %w", name, err)
	}
	return Key{
		Name: name, ID: signer.ID(), Algorithm: alg, Roles: []string{},
		Public: r.path(path.Join(keysDir, name+".pub")), signer: signer,
	}, nil
}

// ErrNoKey: the repository lacks the online keys that its newest root names.
var ErrNoKey = errors.New("online key missing")

// keyring is the online keys during one piece of work.
type keyring []keyfile.Signer

func (r *Repo) keyring() (keyring, error) {
	keys, err := r.loadKeys()
	if err != nil {
		return nil, err
	}
	ring := keyring{}
	for _, k := range keys {
		ring = append(ring, k.signer)
	}
	return ring, nil
}

// sign signs online metadata with every key that a root of the chain lets sign
// the role. The newest root must be satisfied; whether the others are too
// decides only the order of a publish.
func sign[T metadata.Roles](ring keyring, chain []*metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T]) ([]byte, error) {
	newest := chain[len(chain)-1]
	for _, s := range ring {
		if !entitled(chain, role, s.ID()) {
			continue
		}
		if err := bundle.SignMetadata(m, s); err != nil {
			return nil, fmt.Errorf("signing %s: %w", role, err)
		}
	}
	if !bundle.Vouched(chain[len(chain)-1:], role, m) {
		want := bundle.ByRoot(newest, role)
		return nil, fmt.Errorf("%w: root %d wants %d of %.12s to sign %s, and %s has none of them or too few; restore the key, or publish a root that names the keys that are there",
			ErrNoKey, newest.Signed.Version, want.Threshold, want.KeyIDs, role, keysDir)
	}
	return bundle.Encode(m)
}

func entitled(chain []*metadata.Metadata[metadata.RootType], role, id string) bool {
	return slices.ContainsFunc(chain, func(root *metadata.Metadata[metadata.RootType]) bool {
		return slices.Contains(bundle.ByRoot(root, role).KeyIDs, id)
	})
}
