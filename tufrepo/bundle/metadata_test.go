package bundle_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/internal/repotest"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestSign(t *testing.T) {
	w := newWorld(t)
	raw := repotest.Sign(t, w.NewTargets(7, now, repotest.Product), w.Root[0])
	for range 2 { // the second takes the place of the first
		var err error
		if raw, err = sign[metadata.TargetsType](raw, w.Targets[0]); err != nil {
			t.Fatal(err)
		}
	}
	m, err := bundle.Parse[metadata.TargetsType](raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Signatures) != 2 || m.Signatures[0].KeyID != w.Root[0].ID() || m.Signatures[1].KeyID != w.Targets[0].ID() {
		t.Errorf("signatures %+v", m.Signatures)
	}
	root, _ := bundle.Parse[metadata.RootType](w.pinnedRoot)
	if err := root.VerifyDelegate(metadata.TARGETS, m); err != nil {
		t.Error(err)
	}
}

func sign[T metadata.Roles](raw []byte, s keyfile.Signer) ([]byte, error) {
	d, err := bundle.Read[T]("", raw)
	if err != nil {
		return nil, err
	}
	return d.Sign(s)
}

func TestSignEveryRole(t *testing.T) {
	s := repotest.Keys(t, 1)[0]
	expires := bundle.Expiry(now, time.Hour)
	snapshot, timestamp := metadata.Snapshot(expires), metadata.Timestamp(expires)
	w := &repotest.People{Root: repotest.Keys(t, 3), Targets: repotest.Keys(t, 1), Timestamp: s, Snapshot: s}
	type signer func([]byte, keyfile.Signer) ([]byte, error)
	for name, role := range map[string]struct {
		raw  []byte
		sign signer
	}{
		"root":      {repotest.Sign(t, w.NewRoot(1, now)), sign[metadata.RootType]},
		"targets":   {repotest.Sign(t, w.NewTargets(1, now)), sign[metadata.TargetsType]},
		"snapshot":  {repotest.Sign(t, snapshot), sign[metadata.SnapshotType]},
		"timestamp": {repotest.Sign(t, timestamp), sign[metadata.TimestampType]},
	} {
		if role, err := bundle.RoleType(role.raw); err != nil || role != name {
			t.Errorf("role %q, %v, want %q", role, err, name)
		}
		signed, err := role.sign(role.raw, s)
		if err != nil || !strings.Contains(string(signed), s.ID()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	s := repotest.Keys(t, 1)[0]
	good := repotest.Sign(t, metadata.Targets(bundle.Expiry(now, time.Hour)))
	for name, raw := range map[string][]byte{
		"empty": nil, "another type": bytes.Replace(good, []byte(`"_type":"targets"`), []byte(`"_type":"mirror"`), 1),
		"nanoseconds": bytes.Replace(good, []byte(`00Z"`), []byte(`00.5Z"`), 1),
		"offset":      bytes.Replace(good, []byte(`00Z"`), []byte(`00+01:00"`), 1),
		"float":       bytes.Replace(good, []byte(`"version":1`), []byte(`"version":1.0`), 1),
		"version 0":   bytes.Replace(good, []byte(`"version":1`), []byte(`"version":0`), 1),
		"2^62":        bytes.Replace(good, []byte(`"version":1`), []byte(`"version":4611686018427387904`), 1),
		"trailing":    append(bytes.Clone(good), "{}"...),
		"no list":     bytes.Replace(good, []byte(`"signatures":[],`), nil, 1),
		"not a key":   bytes.Replace(good, []byte(`"signatures":[]`), []byte(`"signatures":[{"keyid":"../x","sig":"00"}]`), 1),
		"other case":  bytes.Replace(good, []byte(`"version":1`), []byte(`"Version":1`), 1),
		"unsigned":    bytes.Replace(good, []byte(`"signatures":[]`), []byte(`"signatures":[{"keyid":"`+s.ID()+`","sig":"AB"}]`), 1),
		"escapes":     bytes.Replace(good, []byte(`"targets",`), []byte(`"target\u0073",`), 1),
		"deep":        []byte(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
	} {
		if bytes.Equal(raw, good) {
			t.Fatalf("%s: the test changes nothing", name)
		}
		if out, err := sign[metadata.TargetsType](raw, s); err == nil {
			t.Errorf("%s: signed: %s", name, out)
		}
	}
	if _, err := sign[metadata.TargetsType](good, s); err != nil {
		t.Errorf("as it is: %v", err)
	}
}

// The signer's own words reach the user: go-tuf would drop them.
func TestSignKeepsTheError(t *testing.T) {
	s := repotest.Wrap(t, unplugged{repotest.Generate(t)})
	m := metadata.Targets(bundle.Expiry(now, time.Hour))
	if err := bundle.SignMetadata(m, s); !errors.Is(err, errUnplugged) || len(m.Signatures) != 0 {
		t.Errorf("got %v and %d signatures", err, len(m.Signatures))
	}
}

var errUnplugged = errors.New("the token was pulled out")

// unplugged is a key on a token that is gone.
type unplugged struct{ crypto.Signer }

func (unplugged) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errUnplugged }

func TestCount(t *testing.T) {
	w := newWorld(t)
	stranger := repotest.Keys(t, 1)[0]
	role := repotest.NewProduct(t, 2, now, w.old)
	repotest.Sign(t, role, w.Product[1], stranger)
	s, err := bundle.Count(repotest.Product, bundle.ByTargets(w.base().Targets(), repotest.Product), role)
	if err != nil {
		t.Fatal(err)
	}
	one := func(list []string, want keyfile.Signer) bool { return len(list) == 1 && list[0] == want.ID() }
	if s.Enough() || !one(s.Good, w.Product[1]) || !one(s.Missing, w.Product[0]) || !one(s.Foreign, stranger) || len(s.Wrong) != 0 {
		t.Errorf("%+v", s)
	}
	role.Signed.Version = 3 // after signing
	if s, err = bundle.Count(repotest.Product, bundle.ByTargets(w.base().Targets(), repotest.Product), role); err != nil || !one(s.Wrong, w.Product[1]) {
		t.Errorf("altered after signing: %+v, %v", s, err)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"metadata/1.root.json": true, "metadata/12.base-unit.json": true, "metadata/2147483647.targets.json": true,
		"metadata/timestamp.json": false, "metadata/1.timestamp.json": false, "metadata/0.root.json": false, "metadata/01.root.json": false,
		"metadata/-1.root.json": false, "metadata/2147483648.root.json": false, "metadata/1.Root.json": false, "metadata/1.a..b.json": false,
		"metadata/1.root.json.bak": false, "metadata/x/1.root.json": false, "1.root.json": false, "metadata/1.root.json\n": false,
	} {
		v, role, got := bundle.ParseMetadataName(name)
		if got != ok || (ok && bundle.MetadataName(v, role) != name) {
			t.Errorf("%q: %d %q %v, want %v", name, v, role, got, ok)
		}
	}
	for name, ok := range map[string]bool{
		"targets/p/" + strings.Repeat("a", 64) + ".1.0.json": true, "targets/p/1.0.json": false, "targets/p/" + strings.Repeat("A", 64) + ".1.0.json": false,
		"targets/root/" + strings.Repeat("a", 64) + ".1.0.json": false, "targets/../" + strings.Repeat("a", 64) + ".1.0.json": false,
		"targets/p/q/" + strings.Repeat("a", 64) + ".1.0.json": false,
	} {
		target, d, got := bundle.ParseManifestName(name)
		if got != ok || (ok && bundle.ManifestName(target, d) != name) {
			t.Errorf("%q: %q %v, want %v", name, target, got, ok)
		}
	}
}

func TestNamesOfTheLog(t *testing.T) {
	a := strings.Repeat("a", 64)
	for name, ok := range map[string]bool{
		"targets/" + a + ".tlog-policy.txt": true, "targets/tlog-policy.txt": false, "targets/p/" + a + ".tlog-policy.txt": false,
		"targets/" + strings.Repeat("A", 64) + ".tlog-policy.txt": false, a + ".tlog-policy.txt": false, "targets/" + a + ".tlog-policy.txt.tlog-policy.txt": false,
	} {
		if d, got := bundle.ParsePolicyName(name); got != ok || ok && bundle.PolicyName(d) != name {
			t.Errorf("%q: %v", name, got)
		}
	}
	manifest := "targets/p/" + a + ".1.0.json"
	for name, ok := range map[string]bool{
		manifest + ".0123456789abcdef.tlog-proof": true, manifest + ".tlog-proof": false, manifest + ".0123456789ABCDEF.tlog-proof": false,
		"targets/p/1.0.json.0123456789abcdef.tlog-proof": false, manifest + ".0123456789abcdef.tlog-proof\n": false, manifest: false,
	} {
		if got, is := bundle.ParseProofName(name); is != ok || ok && got != manifest {
			t.Errorf("%q: %q, %v", name, got, is)
		}
	}
}

// Whatever parses prints back to the same value, and no bytes panic.
func FuzzParse(f *testing.F) {
	w := &repotest.People{}
	f.Add(repotest.Sign(f, w.NewTargets(1, now)))
	f.Add([]byte(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"_type":"root","spec_version":"1.0","version":1,"expires":"2030-01-01T00:00:00Z","keys":{},"roles":{},"consistent_snapshot":true},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"_type":"timestamp","meta":{"snapshot.json":null}},"signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = bundle.RoleType(raw)
		roundTrip[metadata.RootType](t, raw)
		roundTrip[metadata.TimestampType](t, raw)
		roundTrip[metadata.SnapshotType](t, raw)
		if m := roundTrip[metadata.TargetsType](t, raw); m != nil {
			_, _ = bundle.Releases("p", m)
			_, _ = bundle.Count("p", bundle.ByTargets(m, "p"), m)
		}
	})
}

func roundTrip[T metadata.Roles](t *testing.T, raw []byte) *metadata.Metadata[T] {
	t.Helper()
	m, err := bundle.Parse[T](raw)
	if err != nil {
		return nil
	}
	printed, err := bundle.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle.Parse[T](printed)
	if err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	twice, err := bundle.Encode(again)
	if err != nil || !bytes.Equal(printed, twice) {
		t.Fatalf("%v: %s became %s", err, printed, twice)
	}
	return m
}
