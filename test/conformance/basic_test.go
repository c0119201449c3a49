package main

import (
	"bytes"
	"crypto/sha256"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// The scenarios of the suite's test_basic.py and test_quoting_issues.py, under
// their names there.

const firstRefresh = "2.root timestamp 1.snapshot 1.targets"

func TestBasicRefreshRequests(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.asks(firstRefresh)
}

func TestBasicRefreshTrustedData(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		_, want := s.repo.Newest(role)
		s.holds(role, want)
	}
}

func TestImplicitRefresh(t *testing.T) {
	s := start(t)
	s.init()
	s.download(1, "nonexistent artifact")
	s.asks(firstRefresh)
	s.trusts("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestInvalidInitialRoot(t *testing.T) {
	s := start(t)
	s.edit("root", func(md map[string]any) { delete(md["signed"].(map[string]any), "version") })
	_, s.root = s.repo.Newest("root")
	s.init()
	s.refresh(1)
	s.asks("")
}

func TestUnsignedInitialRoot(t *testing.T) {
	s := start(t)
	s.signatures("root", func(sigs []any) []any {
		sigs[0].(map[string]any)["sig"] = "3045022100ee448afe2d25dd1f05afedac83a24e7d"
		return sigs
	})
	_, s.root = s.repo.Newest("root")
	s.init()
	s.refresh(1)
	s.asks("")
}

func TestUnsignedMetadata(t *testing.T) {
	for role, trusted := range map[string]string{
		"root": "root 1", "timestamp": "root 2", "snapshot": "root 2, timestamp 2", "targets": "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			s := start(t)
			s.repo.Keys[role] = nil
			s.repo.Publish("root")
			s.publishAll()
			s.init()
			s.refresh(1)
			s.trusts(trusted)
		})
	}
}

func TestURLAndMetadataVersionMismatch(t *testing.T) {
	for role, trusted := range map[string]string{
		"root": "root 1", "snapshot": "root 2, timestamp 2", "targets": "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			s := start(t)
			for _, published := range []string{"root", "targets", "snapshot", "timestamp"} {
				s.repo.Publish(published)
				if published != role {
					continue
				}
				s.skew(role)
			}
			s.init()
			s.refresh(1)
			s.trusts(trusted)
		})
	}
}

// skew serves version 3 of role as version 2, which is what parents say.
func (s *suite) skew(role string) {
	s.repo.Publish(role)
	_, third := s.repo.Newest(role)
	s.repo.Put(role, 2, third)
	switch role {
	case "targets":
		s.repo.Snapshot.Signed.Meta["targets.json"].Version = 2
	case "snapshot":
		s.repo.Timestamp.Signed.Meta["snapshot.json"].Version = 2
	}
}

func TestTimestampContentChanges(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	_, want := s.repo.Newest("timestamp")
	s.repo.Timestamp.Signed.Meta["snapshot.json"].Version = 100
	s.repo.Withdraw("timestamp")
	s.repo.Publish("timestamp")
	s.asked()
	s.refresh(0)
	s.asks("2.root timestamp")
	s.holds("timestamp", want)
}

func TestBasicMetadataHashSupport(t *testing.T) {
	s := start(t)
	s.repo.Hashes = true
	s.publishAll()
	s.init()
	s.refresh(0)
	s.repo.Publish("targets")
	wrong := sha256.Sum256([]byte("something else"))
	s.repo.Snapshot.Signed.Meta["targets.json"].Hashes["sha256"] = wrong[:]
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(1)
	s.trusts("root 1, snapshot 3, targets 2, timestamp 3")
}

func TestTargetsHashMismatch(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Hashes = true
	s.publishAll()
	s.refresh(0)
	s.repo.Publish("targets", "snapshot", "timestamp")
	s.repo.Targets["targets"].Signed.Version--
	s.repo.Targets["targets"].Signed.Expires = s.repo.Expires.AddDate(0, 0, 1)
	meta := s.repo.Snapshot.Signed.Meta["targets.json"]
	s.repo.Publish("targets") // other bytes of the version that the snapshot names
	s.repo.Snapshot.Signed.Meta["targets.json"] = meta
	s.refresh(1)
	s.trusts("root 1, snapshot 3, targets 2, timestamp 3")
}

func TestSnapshotHashMismatch(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Hashes = true
	s.publishAll()
	s.refresh(0)
	s.repo.Publish("snapshot")
	wrong := sha256.Sum256([]byte("something else"))
	s.repo.Timestamp.Signed.Meta["snapshot.json"].Hashes["sha256"] = wrong[:]
	s.repo.Publish("timestamp")
	s.refresh(1)
	s.trusts("root 1, snapshot 2, targets 2, timestamp 3")
}

func TestNewTargetsVersionMismatch(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.asked()
	s.repo.Publish("targets")
	s.refresh(0)
	s.asks("2.root timestamp")
	s.trusts("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestMetadataBytesMatch(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Edit("timestamp", func(b []byte) []byte { return append(b, ' ') })
	s.refresh(0)
	_, want := s.repo.Newest("timestamp")
	s.holds("timestamp", want)
}

func TestCustomFields(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.AddKey("root", tuftest.NewKey("ecdsa").WithField("extra-field", map[string]any{"a": 1, "b": 2}))
	s.repo.Root.Signed.UnrecognizedFields = map[string]any{"custom-field": "value"}
	s.repo.Root.Signed.Roles["root"].UnrecognizedFields = map[string]any{"another-field": "value"}
	s.repo.Publish("root")
	s.refresh(0)
	s.trusts("root 2, snapshot 1, targets 1, timestamp 1")
}

func TestDeprecatedKeyidHashAlgorithms(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Rotate("snapshot")
	s.repo.Root.Signed.Roles["snapshot"].KeyIDs = nil
	key := s.repo.Keys["snapshot"][0].WithField("keyid_hash_algorithms", "md5")
	s.repo.Keys["snapshot"] = nil
	s.repo.AddKey("snapshot", key)
	s.repo.Publish("root", "snapshot", "timestamp")
	s.refresh(0)
	s.trusts("root 2, snapshot 2, targets 1, timestamp 2")
}

func TestSnapshot404(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Timestamp.Signed.Meta["snapshot.json"].Version++
	s.repo.Publish("timestamp")
	s.asked()
	s.refresh(1)
	s.asks("2.root timestamp 2.snapshot")
	s.trusts("root 1, snapshot 1, targets 1, timestamp 2")
}

func TestTargets404(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Snapshot.Signed.Meta["targets.json"].Version++
	s.repo.Publish("snapshot", "timestamp")
	s.asked()
	s.refresh(1)
	s.asks("2.root timestamp 2.snapshot 2.targets")
	s.trusts("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestTimestamp404(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Withdraw("timestamp")
	s.asked()
	s.refresh(1)
	s.asks("2.root timestamp")
}

func TestIncorrectMetadataType(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.AddKey("snapshot", s.repo.Keys["timestamp"][0])
	s.repo.Snapshot.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": {Version: 1}}
	s.repo.Publish("root", "snapshot")
	_, snapshot := s.repo.Newest("snapshot")
	s.repo.Put("timestamp", 2, snapshot)
	s.refresh(1)
	s.trusts("root 2")
}

func TestFaketime(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Root.Signed.Expires = s.now.AddDate(0, 0, 7)
	s.repo.Publish("root")
	s.refresh(0)
	s.now = s.now.AddDate(0, 0, 8)
	s.refresh(1)
}

// TestFaketimeReachesTheProgram puts another date(1) before the real one, as
// faketime does in effect.
func TestFaketimeReachesTheProgram(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for script, want := range map[string]time.Time{"echo 1700000000": time.Unix(1_700_000_000, 0), "echo nonsense": {}, "exit 3": {}} {
		writeScript(t, filepath.Join(bin, "date"), script)
		got, err := dateCommand()
		if (err != nil) != want.IsZero() || !got.Equal(want) && err == nil {
			t.Errorf("date that does %q: %s, %v", script, got, err)
		}
	}
}

func TestUnusualRoleName(t *testing.T) {
	for role, quoted := range map[string]string{
		"?": "%3F", "#": "%23", "/delegatedrole": "%2Fdelegatedrole", "../delegatedrole": "..%2Fdelegatedrole",
	} {
		t.Run(strings.ReplaceAll(role, "/", "|"), func(t *testing.T) {
			s := start(t)
			s.repo.Delegate("targets", paths(role, "*"))
			s.repo.Publish(role)
			s.publishAll()
			s.init()
			s.download(1, "nonexistent target")
			s.asks("2.root timestamp 2.snapshot 2.targets 1." + quoted)
			if got := s.files(); len(got) != 5 {
				t.Errorf("the cache holds %v", got)
			}
		})
	}
}

// TestForeignRepository: metadata as tuf-on-ci writes it, by hand of people.
func TestForeignRepository(t *testing.T) {
	s := start(t)
	r := s.repo
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		r.Root.Signed.Roles[role].KeyIDs, r.Keys[role] = nil, nil
		r.AddKey(role, tuftest.NewKey("ecdsa").WithField("x-tuf-on-ci-keyowner", "@somebody"))
	}
	r.Root.Signed.UnrecognizedFields = map[string]any{"x-tuf-on-ci-expiry-period": 365, "x-tuf-on-ci-signing-period": 60}
	r.Withdraw("root")
	r.Root.Signed.Version = 5
	r.Publish("root")
	r.Edit("root", indent)
	_, s.root = r.Newest("root")
	r.AddTarget("targets", "dir/file", []byte("content"), "sha256", "sha512")
	r.PublishAll()
	s.init()
	s.refresh(0)
	s.download(0, "dir/file")
	s.has("content")
}

func TestCommandLine(t *testing.T) {
	s := start(t)
	for _, c := range []struct {
		args string
		want int
	}{
		{"conformance", 2}, {"conformance --metadata-dir D", 2}, {"conformance --metadata-dir D nonsense", 2}, {"conformance --nonsense", 2},
		{"conformance --metadata-dir D init", 2}, {"conformance --metadata-dir D init a b", 2}, {"conformance --metadata-dir D init missing", 1},
		{"conformance --metadata-dir D refresh", 2}, {"conformance --metadata-dir D --metadata-url http://127.0.0.1:1/ refresh", 1},
		{"conformance --metadata-dir D --metadata-url http://127.0.0.1:1/ download", 2},
	} {
		var stderr bytes.Buffer
		args := strings.Fields(strings.ReplaceAll(c.args, "D", s.metadata))
		if got := run(args, &stderr, dateCommand); got != c.want || stderr.Len() == 0 {
			t.Errorf("%s: exit %d, want %d: %s", c.args, got, c.want, stderr.String())
		}
	}
	if got := s.files(); !slices.Equal(got, []string{}) && len(got) != 0 {
		t.Errorf("left %v", got)
	}
}
