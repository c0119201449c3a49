package audit

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/fairlead/fairlead/firmware"
)

// plainKey is what the DSSE project's library wants of a key.
type plainKey struct {
	key ed25519.PublicKey
	id  string
}

func (k plainKey) KeyID() (string, error)   { return k.id, nil }
func (k plainKey) Public() crypto.PublicKey { return k.key }
func (k plainKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.key, data, sig) {
		return errors.New("wrong signature")
	}
	return nil
}

// TestOthersCanVerifyAHead shows it to the library of those who made the format.
func TestOthersCanVerifyAHead(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 2, 2)
	v, err := dsse.NewEnvelopeVerifier(plainKey{signerPub(t, s).(ed25519.PublicKey), s.ID()})
	if err != nil {
		t.Fatal(err)
	}
	var env dsse.Envelope
	if err := json.Unmarshal(h.seals[0], &env); err != nil {
		t.Fatal(err)
	}
	if _, body, err := v.VerifyAndDecode(t.Context(), &env); err != nil || !strings.Contains(string(body), h.heads[2].Hash.String()) {
		t.Errorf("%v: %s", err, body)
	}
}

func TestOpenHead(t *testing.T) {
	s := signerOf(t, 1)
	h := build(t, s, 2, 2)
	keys := keysOf(t, signerOf(t, 2), s)
	got, err := keys.Open(h.seals[0])
	if want := (DayHead{Day: "2026-09-01", Head: h.heads[2], Key: s.ID()}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for i := range h.seals[0] {
		bad := slices.Clone(h.seals[0])
		bad[i] ^= 1
		if again, err := keys.Open(bad); err == nil && again != got {
			t.Fatalf("byte %d changed: it became %+v", i, again)
		}
	}
	for name, raw := range map[string]SignedHead{"nothing": nil, "no signature": []byte(strings.Replace(string(h.seals[0]), `"signatures":[`, `"signatures":[],"x":[`, 1)),
		"unsigned": SignedHead(`{"payloadType":"` + PayloadType + `","payload":"e30=","signatures":[]}`), "huge": make([]byte, MaxSignedHead+1)} {
		if got, err := keys.Open(raw); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := keysOf(t, signerOf(t, 2)).Open(h.seals[0]); err == nil {
		t.Error("a head was taken from a key that is not known")
	}
}

// TestOnlyHeadsAreHeads: what the same key has signed as something else is no head.
func TestOnlyHeadsAreHeads(t *testing.T) {
	s := signerOf(t, 1)
	body, err := json.Marshal(payload{Schema: headSchema, Head: Head{acme, 2, firmware.Sum(nil)}, Day: "2026-09-01"})
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(kind string, body, signed []byte) SignedHead {
		sig, err := s.SignMessage(strings.NewReader(string(signed)))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(map[string]any{"payloadType": kind, "payload": body, "signatures": []any{map[string]any{"keyid": s.ID(), "sig": sig}}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	later := []byte(strings.Replace(string(body), `"schema":1`, `"schema":2`, 1))
	for name, raw := range map[string]SignedHead{
		"no type was signed": wrap(PayloadType, body, body),
		"another type":       wrap("application/vnd.in-toto+json", body, signedBytes(body)),
		"a later schema":     wrap(PayloadType, later, signedBytes(later)),
	} {
		if got, err := keysOf(t, s).Open(raw); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := keysOf(t, s).Open(wrap(PayloadType, body, signedBytes(body))); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestSignHeadRefuses(t *testing.T) {
	good := Head{acme, 2, firmware.Sum(nil)}
	for name, tc := range map[string]struct {
		day Day
		h   Head
	}{
		"no rows": {"2026-09-01", Start(acme)}, "no day": {"", good}, "no such day": {"2026-09-31", good}, "a time": {"2026-09-01T10:00:00Z", good},
		"no hash": {"2026-09-01", Head{Chain: acme, Seq: 2}}, "no chain": {"2026-09-01", Head{Seq: 2, Hash: good.Hash}},
	} {
		if raw, err := SignHead(tc.day, tc.h, signerOf(t, 1)); err == nil {
			t.Errorf("%s: signed %s", name, raw)
		}
	}
	if d := DayOf(time.Date(2026, 9, 2, 1, 0, 0, 0, time.FixedZone("", 7200))); d != "2026-09-01" {
		t.Errorf("the day is %s", d)
	}
}
