package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"github.com/fairlead/fairlead/agent/tpmkey"
)

// certificate is that of the identity, with the device's key, and its life.
type certificate struct {
	tls.Certificate
	from, until time.Time
}

// held is the certificate that was made last. Nobody else writes to the state folder while an agent has it, so that files are read again
// only after this agent has written them.
type held struct {
	mu   sync.Mutex
	cert *certificate // nil for none
}

func (h *held) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cert = nil
}

// newestCertificate is asked before every handshake: a renewed certificate is used at once.
func (a *Agent) newestCertificate() (*tls.Certificate, error) {
	c, err := a.newest()
	if err != nil {
		return nil, err
	}
	return &c.Certificate, nil
}

func (a *Agent) newest() (*certificate, error) {
	a.mine.mu.Lock()
	defer a.mine.mu.Unlock()
	if a.mine.cert != nil {
		return a.mine.cert, nil
	}
	id, err := a.loadIdentity()
	if err != nil {
		return nil, err
	}
	c, err := a.certificate(id)
	if err == nil {
		a.mine.cert = c
	}
	return c, err
}

// certificate makes the certificate of the identity.
func (a *Agent) certificate(id identity) (*certificate, error) {
	key, err := a.loadKey()
	if err != nil {
		return nil, err
	}
	c := &certificate{Certificate: tls.Certificate{PrivateKey: key}}
	for rest := []byte(id.Certificate + "\n" + id.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c.Certificate.Certificate = append(c.Certificate.Certificate, block.Bytes)
	}
	if len(c.Certificate.Certificate) == 0 {
		return nil, fmt.Errorf("%w: the identity holds no certificate: enrol again", ErrNotEnrolled)
	}
	return c, a.fits(c, key)
}

// fits refuses a certificate for another key, as after the key was moved into a TPM. It notes the certificate's life.
func (a *Agent) fits(c *certificate, key crypto.Signer) error {
	leaf, err := x509.ParseCertificate(c.Certificate.Certificate[0])
	if err != nil {
		return fmt.Errorf("the certificate of this device cannot be read: remove %s and enrol anew: %w", a.path(identityName), err)
	}
	if pub, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !pub.Equal(key.Public()) {
		return fmt.Errorf("%w: the identity was made for another key than \"key\" of the configuration leads to: put that right, or remove %s and enrol anew",
			ErrNotEnrolled, a.path(identityName))
	}
	c.from, c.until = leaf.NotBefore, leaf.NotAfter
	return nil
}

// checkKey has the key in a TPM sign once, before anybody waits for it: what is wrong with the TPM is told in its own words.
func (a *Agent) checkKey(id identity) error {
	c, err := a.certificate(id)
	if err != nil {
		return err
	}
	if key, ok := c.PrivateKey.(*tpmkey.Key); ok {
		if err := key.Check(); err != nil {
			return refuse(Unavailable, "device key: %w", err)
		}
	}
	return nil
}
