package agent

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

// Names in the state folder.
const (
	keyName      = "device.key"
	tpmKeyName   = "device.tpm"
	identityName = "identity.json"
)

// maxClaim bounds a claim file, in bytes.
const maxClaim = 4 << 10

// identity is what an enrolment gave, in one file, so that it is there or not.
type identity struct {
	Schema int `json:"schema"`
	wire.EnrollResponse
}

// Identity is who this device is, for people.
type Identity struct {
	Tenant   string    `json:"tenant"`
	Device   string    `json:"device"`
	Service  string    `json:"service"`
	Product  string    `json:"product"`
	Hardware string    `json:"hardware"`
	Serial   string    `json:"serial,omitempty"`
	MAC      string    `json:"mac,omitempty"`
	Agent    string    `json:"agent"`
	Key      string    `json:"key"`     // SHA-256 of the public key (PKIX), hex
	Expires  time.Time `json:"expires"` // of the certificate
}

// Identity tells who this device is. ErrNotEnrolled if it is nobody yet.
func (a *Agent) Identity() (Identity, error) {
	id, err := a.loadIdentity()
	if err != nil {
		return Identity{}, err
	}
	key, err := a.loadKey()
	if err != nil {
		return Identity{}, err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Identity{}, err
	}
	sum := firmware.Sum(pub)
	return Identity{
		Tenant: id.Tenant, Device: id.Device, Service: a.cfg.Service, Product: a.cfg.Product,
		Hardware: a.cfg.Hardware, Serial: a.cfg.Serial, MAC: a.cfg.MAC, Agent: a.o.Version,
		Key: hex.EncodeToString(sum[:]), Expires: id.Expires,
	}, nil
}

// Enroll gets this device an identity with a claim token. The key is made once and used
// again by later attempts, so that the service can tell a repetition from a clone.
// ErrNothing if there is an identity already.
func (a *Agent) Enroll(ctx context.Context, claim string) (Identity, error) {
	s, err := a.open()
	if err != nil {
		return Identity{}, err
	}
	defer s.close()
	if id, err := a.Identity(); err == nil {
		return id, ErrNothing
	}
	if err := s.enroll(ctx, claim); err != nil {
		return Identity{}, err
	}
	return a.Identity()
}

// enroll: first the key, durably; then the request; then the identity, in one file. A crash
// anywhere leaves the key, and the next attempt sends the same.
func (s *session) enroll(ctx context.Context, claim string) error {
	if !s.enabled() {
		return fmt.Errorf("%w: the cloud connection is switched off: set \"enabled\" to true first", ErrNotEnrolled)
	}
	key, err := s.makeKey()
	if err != nil {
		return err
	}
	n, err := s.network()
	if err != nil {
		return err
	}
	resp, err := link.Enroll(ctx, n, key, s.enrolment(claim))
	if err != nil {
		return err
	}
	if err = s.saveIdentity(identity{schema, resp}); err == nil && s.o.Notify.Enrolled != nil {
		s.o.Notify.Enrolled()
	}
	return err
}

func (a *Agent) enrolment(claim string) wire.EnrollRequest {
	return wire.EnrollRequest{
		Claim: claim, Product: a.cfg.Product, Hardware: a.cfg.Hardware,
		Serial: a.cfg.Serial, MAC: a.cfg.MAC, Agent: a.o.Version,
	}
}

func (a *Agent) saveIdentity(id identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	defer a.mine.drop() // also where it is not known what became of the file
	return a.o.Disk.WriteFile(a.path(identityName), b, 0o600)
}

// ReadClaim reads a claim token from a file, or from the one of the configuration for "".
func (a *Agent) ReadClaim(path string) (string, error) {
	if path == "" {
		path = a.cfg.ClaimFile
	}
	if path == "" {
		return "", fmt.Errorf("%w: name a file with a claim token: --claim-file, or \"claim_file\" in the configuration", ErrNotEnrolled)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: claim file: %w", ErrNotEnrolled, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxClaim+1))
	if err != nil {
		return "", fmt.Errorf("%w: claim file: %w", ErrNotEnrolled, err)
	}
	if len(b) > maxClaim {
		return "", fmt.Errorf("claim file %s has more than %d bytes: name another", path, maxClaim)
	}
	return strings.TrimSpace(string(b)), nil
}

// network is how the service is reached.
func (s *session) network() (link.Network, error) {
	n := link.Network{Service: s.cfg.Service, Now: s.now, Proxy: s.cfg.Proxy, Dial: s.o.Dial, Secure: s.o.Secure}
	if n.Roots = s.o.CA; n.Roots != nil || s.cfg.CA == "" {
		return n, nil
	}
	b, err := os.ReadFile(s.cfg.CA)
	if err != nil {
		return n, keyError("ca", "%w", err)
	}
	n.Roots = x509.NewCertPool()
	if !n.Roots.AppendCertsFromPEM(b) {
		return n, keyError("ca", "%s holds no certificate in PEM", s.cfg.CA)
	}
	return n, nil
}

func (a *Agent) loadIdentity() (identity, error) {
	b, err := a.o.Disk.ReadFile(a.path(identityName))
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, fmt.Errorf("%w: get a claim token from the operator of the service, then fairlead-agent enroll", ErrNotEnrolled)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read identity: %w", err)
	}
	var id identity
	if err := strictjson.Decode(b, strictjson.Options{MaxBytes: wire.MaxEnrollResponse + 4<<10}, &id); err != nil {
		return identity{}, fmt.Errorf("%w: identity %s is damaged: enrol again: %w", ErrNotEnrolled, a.path(identityName), err)
	}
	return id, nil
}
