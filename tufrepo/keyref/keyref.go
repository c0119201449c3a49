package keyref

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature/kms"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/keyref/tokenuri"
)

// DefaultLimit is how long one call may take where Options say nothing: time to walk to the token and touch it.
const DefaultLimit = time.Minute

// Errors that a caller branches on.
var (
	// ErrPIN: the token's PIN is wrong or missing.
	ErrPIN = errors.New("wrong or missing PIN")
	// ErrReference: this is no reference that leads anywhere.
	ErrReference = errors.New("not a reference to a key")
)

// Options say how keys are opened.
type Options struct {
	Passphrase func() ([]byte, error) // of an encrypted key file; nil: there is none
	PIN        func() ([]byte, error) // of a token, asked once, where the reference has no pin-source; nil: there is none
	Limit      time.Duration          // the most that one call to a token, an agent or a service may take; 0: DefaultLimit
}

func (o Options) limit() time.Duration {
	if o.Limit > 0 {
		return o.Limit
	}
	return DefaultLimit
}

// Key is a key that was found.
type Key struct {
	keyfile.Signer
	Name   string // what the other side calls it: a file's name, a token's label, an agent's comment; may be ""
	Where  string // in words
	Public crypto.PublicKey
}

const agentScheme = "ssh-agent"

// cloud are the schemes of sigstore's providers, and the tags that build them in.
var cloud = map[string]string{"awskms": "kms_aws", "gcpkms": "kms_gcp", "azurekms": "kms_azure", "hashivault": "kms_vault"}

var schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:`)

// Scheme is what stands before the colon of a reference; "" for a file.
func Scheme(ref string) string {
	return strings.TrimSuffix(schemePattern.FindString(ref), ":")
}

// Open finds the key of a reference. ctx bounds the key's use, too.
// Errors: keyfile.ErrPassphrase, keyfile.ErrPermissions, ErrPIN, ErrReference, fs.ErrNotExist.
func Open(ctx context.Context, ref string, o Options) (*Key, error) {
	scheme := Scheme(ref)
	switch {
	case scheme == "":
		return openFile(ref, o)
	case scheme == tokenuri.Scheme:
		return openToken(ctx, ref, o)
	case scheme == agentScheme:
		return openAgent(ctx, ref, o)
	case slices.Contains(kms.SupportedProviders(), scheme+"://") && cloud[scheme] != "":
		return openCloud(ctx, ref, o)
	case cloud[scheme] != "":
		return nil, fmt.Errorf("key %s: %w in this build; build with: go build -tags %s", ref, ErrReference, cloud[scheme])
	}
	return nil, fmt.Errorf("key %s: %w: %q is none of %s; write ./%s if it is a file", ref, ErrReference, scheme, schemes(), ref)
}

// schemes are those that this build follows.
func schemes() string {
	all := []string{tokenuri.Scheme + ":", agentScheme + ":"}
	for scheme := range cloud {
		if slices.Contains(kms.SupportedProviders(), scheme+"://") {
			all = append(all, scheme+"://")
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func openFile(path string, o Options) (*Key, error) {
	key, err := keyfile.Load(path, o.Passphrase)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), ".key")
	signer, err := keyfile.NewSigner(key)
	return &Key{Signer: signer, Name: name, Where: "key file " + path, Public: key.Public()}, err
}

// found wraps a key that lies elsewhere.
func found(name, where string, pub crypto.PublicKey, key keyfile.MessageSigner) (*Key, error) {
	signer, err := keyfile.NewMessageSigner(pub, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return &Key{Signer: signer, Name: name, Where: where, Public: pub}, nil
}

// late says that nobody answered.
func late(who string, limit time.Duration) error {
	return fmt.Errorf("%s did not answer within %s: does it wait for a touch, a PIN or a question to be answered? --key-timeout gives it longer", who, limit)
}
