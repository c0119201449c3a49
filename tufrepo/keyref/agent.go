package keyref

import (
	"context"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// agentKey is a key that ssh-agent holds.
type agentKey struct {
	ctx   context.Context
	limit time.Duration
	key   ssh.PublicKey
	where string
}

// held is a key of the agent with what can be said of it.
type held struct {
	key         ssh.PublicKey
	pub         crypto.PublicKey // nil if devices cannot verify it
	comment     string
	fingerprint string
}

func openAgent(ctx context.Context, ref string, o Options) (*Key, error) {
	wanted := strings.TrimPrefix(ref, agentScheme+":")
	if wanted == "" {
		return nil, fmt.Errorf("key %s: %w: write ssh-agent:SHA256:… or ssh-agent:COMMENT, as ssh-add -l prints them", ref, ErrReference)
	}
	keys, err := agentKeys(ctx, o.limit())
	if err != nil {
		return nil, err
	}
	var fit []held
	for _, k := range keys {
		if k.fingerprint == wanted || k.comment == wanted {
			fit = append(fit, k)
		}
	}
	switch {
	case len(fit) == 0:
		return nil, fmt.Errorf("ssh-agent has no key %q; it has %s; ssh-add adds one", wanted, agentNames(keys))
	case len(fit) > 1:
		return nil, fmt.Errorf("ssh-agent has more than one key %q: %s; name one by its fingerprint", wanted, agentNames(fit))
	case fit[0].pub == nil:
		return nil, fmt.Errorf("ssh-agent's key %s is of type %s: devices cannot verify it; use ed25519 or ecdsa-p256", fit[0], fit[0].key.Type())
	}
	where := "ssh-agent's key " + fit[0].String()
	return found(fit[0].comment, where, fit[0].pub, agentKey{ctx, o.limit(), fit[0].key, where})
}

func (h held) String() string { return strings.TrimSpace(h.fingerprint + " " + h.comment) }

func agentNames(keys []held) string {
	if len(keys) == 0 {
		return "none"
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

// agentKeys asks the agent what it holds.
func agentKeys(ctx context.Context, limit time.Duration) (keys []held, err error) {
	err = withAgent(ctx, limit, func(a agent.ExtendedAgent) error {
		list, err := a.List()
		if err != nil {
			return fmt.Errorf("asking ssh-agent for its keys: %w", err)
		}
		for _, k := range list {
			keys = append(keys, readHeld(k))
		}
		return nil
	})
	return keys, err
}

func readHeld(k *agent.Key) held {
	h := held{key: k, comment: k.Comment, fingerprint: ssh.FingerprintSHA256(k)}
	parsed, err := ssh.ParsePublicKey(k.Blob)
	if err != nil {
		return h
	}
	// A FIDO key ("sk-…") signs more than the message.
	if t := parsed.Type(); t != ssh.KeyAlgoED25519 && t != ssh.KeyAlgoECDSA256 {
		return h
	}
	if c, ok := parsed.(ssh.CryptoPublicKey); ok {
		if _, err := keyfile.AlgorithmOf(c.CryptoPublicKey()); err == nil {
			h.key, h.pub = parsed, c.CryptoPublicKey()
		}
	}
	return h
}

// SignMessage implements keyfile.MessageSigner.
func (k agentKey) SignMessage(msg []byte) (sig []byte, err error) {
	err = withAgent(k.ctx, k.limit, func(a agent.ExtendedAgent) error {
		made, err := a.Sign(k.key, msg)
		if err != nil {
			return fmt.Errorf("%s: it did not sign: is the key still there (ssh-add -l), or locked (ssh-add -X)? %w", k.where, err)
		}
		sig, err = plain(made)
		if err != nil {
			return fmt.Errorf("%s: %w", k.where, err)
		}
		return nil
	})
	return sig, err
}

// plain turns SSH's form of a signature into that of metadata.
func plain(s *ssh.Signature) ([]byte, error) {
	switch s.Format {
	case ssh.KeyAlgoED25519:
		return s.Blob, nil
	case ssh.KeyAlgoECDSA256:
		var rs struct{ R, S *big.Int }
		if err := ssh.Unmarshal(s.Blob, &rs); err != nil {
			return nil, fmt.Errorf("reading its signature: %w", err)
		}
		return asn1.Marshal(rs)
	}
	return nil, fmt.Errorf("it answered with a signature of type %q", s.Format)
}

// withAgent talks to the agent of SSH_AUTH_SOCK for as long as limit.
func withAgent(ctx context.Context, limit time.Duration, talk func(agent.ExtendedAgent) error) (err error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return errors.New("no ssh-agent: SSH_AUTH_SOCK is not set; start one with: eval $(ssh-agent); ssh-add KEY")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("ssh-agent does not answer at SSH_AUTH_SOCK; start one with: eval $(ssh-agent); ssh-add KEY: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	// The library's client panics on some answers that are no answers.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("ssh-agent answered with nonsense: %v", p)
		}
	}()
	err = talk(agent.NewClient(struct{ io.ReadWriter }{conn}))
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		return late("ssh-agent", limit)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
