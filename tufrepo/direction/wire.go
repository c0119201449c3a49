package direction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
)

// extension is the member of signed that is ours.
const extension = "x-fairlead-direction"

// header is that member's content.
type header struct {
	Schema   int    `json:"schema"`
	Tenant   string `json:"tenant"`
	Device   string `json:"device"`
	Hardware string `json:"hardware"`
	Issued   string `json:"issued"`
	Update   string `json:"update,omitempty"`

	Kind       Kind      `json:"kind,omitempty"`
	Until      time.Time `json:"until,omitzero"`
	DeferUntil time.Time `json:"defer_until,omitzero"`
	Offline    bool      `json:"offline,omitempty"`
}

// custom is the target's custom member: what both repositories must agree on.
type custom struct {
	Counter  int64  `json:"counter"`
	Hardware string `json:"hardware"`
}

// Signer is a key that knows its TUF key id; keyfile.Signer is one.
type Signer interface {
	SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error)
	ID() string
}

// Sign makes the signed bytes of d. The bytes are what is stored, sent and
// compared: signing the same direction twice may give other bytes.
func Sign(d Direction, s Signer) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("signing a direction: %w", err)
	}
	md, err := d.metadata()
	if err != nil {
		return nil, fmt.Errorf("signing a direction: %w", err)
	}
	payload, err := cjson.EncodeCanonical(md.Signed)
	if err != nil {
		return nil, fmt.Errorf("signing a direction: %w", err)
	}
	sig, err := s.SignMessage(bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("signing a direction with key %s: %w", s.ID(), err)
	}
	md.Signatures = []metadata.Signature{{KeyID: s.ID(), Signature: sig}}
	raw, err := md.ToBytes(false)
	if err == nil && len(raw) > MaxSize {
		err = fmt.Errorf("%d bytes are more than %d", len(raw), MaxSize)
	}
	return raw, err
}

// metadata turns d into TUF's form.
func (d Direction) metadata() (*metadata.Metadata[metadata.TargetsType], error) {
	md := metadata.Targets(d.Expires)
	md.Signed.Version = d.Version
	h, err := toMap(header{Schema: 1, Tenant: d.Tenant, Device: d.Device, Hardware: d.Hardware, Issued: d.Issued.Format(time.RFC3339),
		Update: d.Update, Kind: d.Kind, Until: d.Until, DeferUntil: d.DeferUntil, Offline: d.Offline})
	if err != nil {
		return nil, err
	}
	md.Signed.UnrecognizedFields = map[string]any{extension: h}
	if d.Target == nil {
		return md, nil
	}
	c, err := json.Marshal(custom{Counter: d.Target.Counter, Hardware: d.Hardware})
	if err != nil {
		return nil, err
	}
	md.Signed.Targets[d.Target.Path] = &metadata.TargetFiles{
		Length: d.Target.Length,
		Hashes: metadata.Hashes{"sha256": d.Target.SHA256[:]},
		Custom: (*json.RawMessage)(&c),
	}
	return md, nil
}

// toMap is h as package metadata wants what it does not know.
func toMap(h header) (map[string]any, error) {
	b, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	return m, dec.Decode(&m)
}

// Unverified reads a direction without asking who signed it or when it expires:
// for showing a file to a person, never for acting on it.
func Unverified(raw []byte) (Direction, error) {
	_, d, err := parse(raw)
	return d, err
}

// parse reads raw and checks everything that needs neither key nor clock.
// go-tuf can panic on hostile bytes; that is caught here.
func parse(raw []byte) (md *metadata.Metadata[metadata.TargetsType], d Direction, err error) {
	defer func() {
		if p := recover(); p != nil {
			md, d, err = nil, Direction{}, fmt.Errorf("%w: %v", ErrFormat, p)
		}
	}()
	if err := strictjson.Check(raw, strictjson.Options{MaxBytes: MaxSize}); err != nil {
		return nil, d, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	md, err = metadata.Targets().FromBytes(raw)
	if err != nil {
		return nil, d, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if d, err = fromMetadata(&md.Signed); err == nil {
		err = d.check()
	}
	if err != nil {
		return nil, Direction{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return md, d, nil
}

func fromMetadata(s *metadata.TargetsType) (Direction, error) {
	if s.Delegations != nil {
		return Direction{}, fmt.Errorf("a direction must not delegate")
	}
	if !strings.HasPrefix(s.SpecVersion, "1.") {
		return Direction{}, fmt.Errorf("spec_version %q is not 1.x", s.SpecVersion)
	}
	h, issued, err := readHeader(s.UnrecognizedFields[extension])
	if err != nil {
		return Direction{}, err
	}
	d := Direction{Tenant: h.Tenant, Device: h.Device, Hardware: h.Hardware, Version: s.Version,
		Issued: issued, Expires: s.Expires, Update: h.Update,
		Kind: h.Kind, Until: h.Until.UTC(), DeferUntil: h.DeferUntil.UTC(), Offline: h.Offline}
	if len(s.Targets) > 1 {
		return Direction{}, fmt.Errorf("%d targets, at most one is allowed", len(s.Targets))
	}
	for path, f := range s.Targets {
		if d.Target, err = readTarget(path, f, h.Hardware); err != nil {
			return Direction{}, err
		}
	}
	return d, nil
}

func readHeader(member any) (h header, issued time.Time, err error) {
	if member == nil {
		return h, issued, fmt.Errorf("member %s is missing", extension)
	}
	b, err := json.Marshal(member)
	if err != nil {
		return h, issued, err
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, issued, fmt.Errorf("member %s: %w", extension, err)
	}
	if h.Schema != 1 {
		return h, issued, fmt.Errorf("schema %d is unknown here, update the reader", h.Schema)
	}
	issued, err = time.Parse(time.RFC3339, h.Issued)
	return h, issued.UTC(), err
}

func readTarget(path string, f *metadata.TargetFiles, hardware string) (*Target, error) {
	if f == nil || f.Custom == nil {
		return nil, fmt.Errorf("target %q has no custom member", path)
	}
	var c custom
	if err := json.Unmarshal(*f.Custom, &c); err != nil {
		return nil, fmt.Errorf("custom member of target %q: %w", path, err)
	}
	if c.Hardware != hardware {
		return nil, fmt.Errorf("target %q is for hardware %q, the direction for %q", path, c.Hardware, hardware)
	}
	sum, ok := f.Hashes["sha256"]
	if !ok || len(f.Hashes) != 1 || len(sum) != len(firmware.Digest{}) {
		return nil, fmt.Errorf("target %q must have one hash, a sha256", path)
	}
	return &Target{Path: path, Length: f.Length, SHA256: firmware.Digest(sum), Counter: c.Counter}, nil
}
