package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/fairlead/fairlead/tufrepo/listing"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Sizes in bytes above which metadata is not read.
const (
	MaxRoot      = 512_000
	MaxTimestamp = 16_384
	MaxSnapshot  = 2_000_000
	MaxTargets   = 5_000_000
)

// MaxVersion is the highest metadata version that is accepted. Versions grow
// one at a time, so no honest one comes near; a stolen key cannot use them up.
const MaxVersion = 1<<31 - 1

// Expiry is the instant d after now in the form that every TUF client reads:
// UTC, whole seconds.
func Expiry(now time.Time, d time.Duration) time.Time {
	return now.Add(d).UTC().Truncate(time.Second)
}

// Parse reads metadata of the type T. Its signatures are not verified.
//
// Refused: more bytes than the limit of the type, JSON that two readers could
// read in two ways, another type, a specification other than 1.x, a version
// below 1, an expiry that is not a whole second of UTC, and any member that
// would not be covered by the signatures. b must not be changed any more.
func Parse[T metadata.Roles](b []byte) (*metadata.Metadata[T], error) {
	m, _, err := parse[T](b)
	return m, err
}

// parse is Parse. Where it has not printed the document to judge it, it gives what is signed of it, in canonical JSON, as a part of b.
func parse[T metadata.Roles](b []byte) (m *metadata.Metadata[T], signed []byte, err error) {
	l, signed := readListing(b, typeOf[T]())
	m, ok := any(l).(*metadata.Metadata[T])
	if ok && l != nil {
		err = checkForm(m)
	} else {
		m, err = parseAny[T](b)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s metadata: %w", typeOf[T](), err)
	}
	return m, signed, nil
}

// readListing is the short way of a product's file. b is one if it is a targets file, and may then still have to go the long way.
func readListing(b []byte, role string) (l *listing.Meta, signed []byte) {
	if role != metadata.TARGETS {
		return nil, nil
	}
	return listing.Read(b)
}

func parseAny[T metadata.Roles](b []byte) (*metadata.Metadata[T], error) {
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: limit[T]()}); err != nil {
		return nil, err
	}
	m := &metadata.Metadata[T]{}
	if err := guard(func() error { _, err := m.FromBytes(b); return err }); err != nil {
		return nil, err
	}
	if err := checkForm(m); err != nil {
		return nil, err
	}
	return m, checkPrintsBack(m, b)
}

// Encode prints metadata: compact JSON in one fixed order.
func Encode[T metadata.Roles](m *metadata.Metadata[T]) ([]byte, error) {
	if m.Signatures == nil {
		m.ClearSignatures()
	}
	if l, ok := any(m).(*listing.Meta); ok {
		if b := listing.Print(l); b != nil {
			return b, nil
		}
	}
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, fmt.Errorf("printing %s metadata: %w", typeOf[T](), err)
	}
	return b, nil
}

// RoleType tells the _type of metadata: root, targets, snapshot or timestamp.
func RoleType(b []byte) (string, error) {
	if l, _ := listing.Read(b); l != nil {
		return metadata.TARGETS, nil
	}
	if err := strictjson.Check(b, strictjson.Options{MaxBytes: MaxTargets}); err != nil {
		return "", fmt.Errorf("reading metadata: %w", err)
	}
	var peek struct {
		Signed struct {
			Type string `json:"_type"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(b, &peek); err != nil {
		return "", fmt.Errorf("reading metadata: %w", err)
	}
	if !slices.Contains(metadata.TOP_LEVEL_ROLE_NAMES[:], peek.Signed.Type) {
		return "", fmt.Errorf("metadata of type %q is unknown", peek.Signed.Type)
	}
	return peek.Signed.Type, nil
}

// SignMetadata adds the signature of s. An older signature of the same key is
// replaced: two of them would make a file that no client loads. The other
// signatures stay. It does what go-tuf's Sign does but for that, and for
// keeping the signer's error.
func SignMetadata[T metadata.Roles](m *metadata.Metadata[T], s keyfile.Signer) error {
	payload, err := canonical(m)
	if err != nil {
		return err
	}
	m.Signatures, err = signPayload(m.Signatures, payload, s)
	return err
}

// signPayload adds the signature of s to a list, in place of an older one.
func signPayload(list []metadata.Signature, payload []byte, s keyfile.Signer) ([]metadata.Signature, error) {
	sig, err := s.SignMessage(bytes.NewReader(payload))
	if err != nil {
		return list, err
	}
	list = slices.DeleteFunc(list, func(old metadata.Signature) bool { return old.KeyID == s.ID() })
	return append(list, metadata.Signature{KeyID: s.ID(), Signature: sig}), nil
}

func canonical[T metadata.Roles](m *metadata.Metadata[T]) (payload []byte, err error) {
	if l, ok := any(m).(*listing.Meta); ok {
		if payload := listing.Signed(l); payload != nil {
			return payload, nil
		}
	}
	err = guard(func() error { payload, err = cjson.EncodeCanonical(m.Signed); return err })
	if err != nil {
		return nil, fmt.Errorf("printing %s metadata for signing: %w", typeOf[T](), err)
	}
	return payload, nil
}

// guard turns a panic in a parser of foreign bytes into an error: go-tuf has
// panicked on hostile metadata before.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed metadata: %v", p)
		}
	}()
	return f()
}

func checkForm[T metadata.Roles](m *metadata.Metadata[T]) error {
	c := commonOf(m)
	switch {
	case !strings.HasPrefix(c.spec, "1."):
		return fmt.Errorf("specification version %q is not 1.x", c.spec)
	case c.version < 1 || c.version > MaxVersion:
		return fmt.Errorf("version %d is not within 1 and %d", c.version, MaxVersion)
	case c.expires.Location() != time.UTC || c.expires.Nanosecond() != 0 || c.expires.Year() > 9999:
		return fmt.Errorf("expiry %s is not a whole second of UTC", c.expires.Format(time.RFC3339Nano))
	}
	for _, sig := range m.Signatures {
		if _, err := hex.DecodeString(sig.KeyID); err != nil || len(sig.KeyID) != 64 {
			return fmt.Errorf("signature by %.80q, which is not a key id", sig.KeyID)
		}
	}
	return nil
}

func checkPrintsBack[T metadata.Roles](m *metadata.Metadata[T], b []byte) error {
	var given bytes.Buffer
	if err := json.Compact(&given, b); err != nil {
		return err
	}
	if m.Signatures == nil {
		return errors.New("no list of signatures")
	}
	if len(m.UnrecognizedFields) > 0 {
		return errors.New("members beside signed and signatures, which no signature covers")
	}
	printed, err := Encode(m)
	if err != nil {
		return err
	}
	if !bytes.Equal(printed, given.Bytes()) {
		return errors.New("not in the form that this toolchain writes, or with members that no signature covers")
	}
	return nil
}

// common is what the four types have in common.
type common struct {
	spec    string
	version int64
	expires time.Time
}

func commonOf[T metadata.Roles](m *metadata.Metadata[T]) common {
	switch s := any(&m.Signed).(type) {
	case *metadata.RootType:
		return common{s.SpecVersion, s.Version, s.Expires}
	case *metadata.TimestampType:
		return common{s.SpecVersion, s.Version, s.Expires}
	case *metadata.SnapshotType:
		return common{s.SpecVersion, s.Version, s.Expires}
	case *metadata.TargetsType:
		return common{s.SpecVersion, s.Version, s.Expires}
	}
	return common{}
}

func typeOf[T metadata.Roles]() string {
	var t T
	switch any(t).(type) {
	case metadata.RootType:
		return metadata.ROOT
	case metadata.TimestampType:
		return metadata.TIMESTAMP
	case metadata.SnapshotType:
		return metadata.SNAPSHOT
	}
	return metadata.TARGETS
}

func limit[T metadata.Roles]() int {
	switch typeOf[T]() {
	case metadata.ROOT:
		return MaxRoot
	case metadata.TIMESTAMP:
		return MaxTimestamp
	case metadata.SNAPSHOT:
		return MaxSnapshot
	}
	return MaxTargets
}
