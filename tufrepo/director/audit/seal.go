package audit

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

const (
	// PayloadType stands in the envelope, and is signed with the head.
	PayloadType = "application/vnd.fairlead.audit-head+json"
	// MaxSignedHead bounds a signed head, in bytes.
	MaxSignedHead = 4 << 10

	headSchema = 1
)

// Day is a day in UTC: "2026-09-01".
type Day string

// DayOf is the day of t.
func DayOf(t time.Time) Day { return Day(t.UTC().Format(time.DateOnly)) }

func (d Day) check() error {
	if t, err := time.Parse(time.DateOnly, string(d)); err != nil || DayOf(t) != d {
		return fmt.Errorf("%.20q is not a day like 2026-09-01", string(d))
	}
	return nil
}

// SignedHead is a head in its envelope, as it is stored and handed out. It is nothing
// but bytes until Keys.Open has verified it.
type SignedHead []byte

// DayHead is a head whose signature was verified.
type DayHead struct {
	Day Day
	Head
	Key string // id of the key that signed it
}

// payload is what is signed.
type payload struct {
	Schema int `json:"schema"`
	Head
	Day Day `json:"day"`
}

// envelope is that of DSSE 1.0: https://github.com/secure-systems-lab/dsse.
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     []byte `json:"payload"`
	Signatures  []struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	} `json:"signatures"`
}

// signedBytes is DSSE's pre-authentication encoding.
func signedBytes(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(PayloadType), PayloadType, len(payload), payload)
}

// SignHead seals a chain as it stood when day ended, or at some moment within it. The head
// of a chain without rows cannot be sealed: there is nothing to vouch for.
func SignHead(day Day, h Head, s keyfile.Signer) (SignedHead, error) {
	p := payload{Schema: headSchema, Head: h, Day: day}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("signing an audit head: %w", err)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("signing an audit head: %w", err)
	}
	sig, err := s.SignMessage(bytes.NewReader(signedBytes(body)))
	if err != nil {
		return nil, fmt.Errorf("signing the head of audit chain %s: %w", h.Chain, err)
	}
	env := envelope{PayloadType: PayloadType, Payload: body}
	env.Signatures = append(env.Signatures, struct {
		KeyID string `json:"keyid"`
		Sig   []byte `json:"sig"`
	}{s.ID(), sig})
	return json.Marshal(env)
}

func (p payload) check() error {
	if p.Schema != headSchema {
		return fmt.Errorf("schema %d is unknown: read it with a later version", p.Schema)
	}
	if p.Seq == 0 {
		return errors.New("the chain has no rows")
	}
	if err := p.Head.check(); err != nil {
		return err
	}
	return p.Day.check()
}

// Keys are the public keys that may have signed heads, by id; old ones stay in it.
type Keys map[string]*metadata.Key

// NewKeys takes Ed25519 and P-256 keys, as keyfile.LoadPublic reads them.
func NewKeys(all ...crypto.PublicKey) (Keys, error) {
	k := Keys{}
	for _, pub := range all {
		key, err := keyfile.TUFKey(pub)
		if err != nil {
			return nil, fmt.Errorf("key of an audit log: %w", err)
		}
		id, err := key.ID()
		if err != nil {
			return nil, fmt.Errorf("key of an audit log: %w", err)
		}
		k[id] = key
	}
	return k, nil
}

// Open verifies a signed head. One signature by one of k is enough; those of others are
// not looked at.
func (k Keys) Open(raw SignedHead) (DayHead, error) {
	var env envelope
	if err := strictjson.Decode(raw, strictjson.Options{MaxBytes: MaxSignedHead, Known: true}, &env); err != nil {
		return DayHead{}, fmt.Errorf("audit head: %w", err)
	}
	if env.PayloadType != PayloadType {
		return DayHead{}, fmt.Errorf("audit head: it is a %.80q", env.PayloadType)
	}
	signer, err := k.signer(env)
	if err != nil {
		return DayHead{}, fmt.Errorf("audit head: %w", err)
	}
	var p payload
	if err := strictjson.Decode(env.Payload, strictjson.Options{MaxBytes: MaxSignedHead, Known: true}, &p); err != nil {
		return DayHead{}, fmt.Errorf("audit head: %w", err)
	}
	if err := p.check(); err != nil {
		return DayHead{}, fmt.Errorf("audit head: %w", err)
	}
	return DayHead{Day: p.Day, Head: p.Head, Key: signer}, nil
}

func (k Keys) signer(env envelope) (string, error) {
	for _, s := range env.Signatures {
		if key, ok := k[s.KeyID]; ok && keyfile.Verify(s.KeyID, key, signedBytes(env.Payload), s.Sig) == nil {
			return s.KeyID, nil
		}
	}
	return "", errors.New("it is signed by none of the known keys")
}

// Boundary is the newest of heads, verified ones of one chain, of a day before keep: rows
// up to it may be erased where those of keep and later have to stay. The heads stay, too.
// False where there is none.
func Boundary(heads []DayHead, keep Day) (Head, bool) {
	var newest Head
	for _, h := range heads {
		if h.Day < keep && h.Seq > newest.Seq {
			newest = h.Head
		}
	}
	return newest, newest.Seq > 0
}
