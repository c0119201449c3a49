package main

import (
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The scenarios of test_rollback.py.

func TestSimpleSnapshotRollback(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(0)
	s.repo.Put("snapshot", 2, s.repo.Version("snapshot", 1))
	s.asked()
	s.refresh(0) // it has the version that the timestamp names
	s.asks("2.root timestamp")
	s.trusts("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestNewTimestampVersionRollback(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Publish("timestamp")
	s.refresh(0)
	s.repo.Put("timestamp", 1, s.repo.Version("timestamp", 1))
	s.asked()
	s.refresh(1)
	s.asks("2.root timestamp")
	s.trusts("root 1, snapshot 1, targets 1, timestamp 2")
}

// withAndWithoutHashes runs f on a repository with and without hashes of metadata.
func withAndWithoutHashes(t *testing.T, f func(s *suite)) {
	for name, hashes := range map[string]bool{"basic": false, "with hashes": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.repo.Hashes = hashes
			s.init()
			f(s)
		})
	}
}

func TestSnapshotRollback(t *testing.T) {
	withAndWithoutHashes(t, func(s *suite) {
		s.repo.Publish("snapshot", "timestamp")
		s.refresh(0)
		s.repo.Timestamp.Signed.Meta["snapshot.json"] = &metadata.MetaFiles{Version: 1}
		s.repo.Publish("timestamp")
		s.asked()
		s.refresh(1)
		s.asks("2.root timestamp")
		s.trusts("root 1, snapshot 2, targets 1, timestamp 2")
	})
}

func TestTargetsRollback(t *testing.T) {
	withAndWithoutHashes(t, func(s *suite) {
		s.publishAll()
		s.refresh(0)
		s.repo.Snapshot.Signed.Meta["targets.json"] = &metadata.MetaFiles{Version: 1}
		s.repo.Publish("snapshot", "timestamp")
		s.refresh(1)
		s.trusts("root 1, snapshot 2, targets 2, timestamp 3")
	})
}

func TestTargetsRoleRemoval(t *testing.T) {
	withAndWithoutHashes(t, func(s *suite) {
		s.repo.Delegate("targets", paths("delegated", "*"))
		s.repo.Publish("delegated")
		s.publishAll()
		s.refresh(0)
		delete(s.repo.Snapshot.Signed.Meta, "delegated.json")
		s.repo.Publish("snapshot", "timestamp")
		s.refresh(1)
		s.trusts("root 1, snapshot 2, targets 2, timestamp 3")
	})
}

func TestTargetsFastForwardRecovery(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Targets["targets"].Signed.Version = 99998
	s.publishAll()
	s.refresh(0)
	s.trusts("root 1, snapshot 2, targets 99999, timestamp 2")
	s.repo.Rotate("snapshot")
	s.repo.Publish("root")
	s.repo.Targets["targets"].Signed.Version = 1
	s.publishAll()
	s.refresh(0)
	s.trusts("root 2, snapshot 3, targets 2, timestamp 3")
}

func TestSnapshotFastForwardRecovery(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Snapshot.Signed.Version = 99998
	s.publishAll()
	s.refresh(0)
	s.trusts("root 1, snapshot 99999, targets 2, timestamp 2")
	s.repo.Rotate("snapshot")
	s.repo.Rotate("timestamp")
	s.repo.Publish("root")
	s.repo.Snapshot.Signed.Version = 0
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(0)
	s.trusts("root 2, snapshot 1, targets 2, timestamp 3")
}

func TestTimestampFastForwardRecovery(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Timestamp.Signed.Version = 99998
	s.repo.Publish("timestamp")
	s.refresh(0)
	s.trusts("root 1, snapshot 1, targets 1, timestamp 99999")
	s.repo.Rotate("timestamp")
	s.repo.Publish("root")
	s.repo.Timestamp.Signed.Version = 0
	s.repo.Publish("timestamp")
	s.refresh(0)
	s.trusts("root 2, snapshot 1, targets 1, timestamp 1")
}

func TestNewSnapshotVersionMismatch(t *testing.T) {
	s := start(t)
	s.init()
	_, snapshot := s.repo.Newest("snapshot")
	s.repo.Timestamp.Signed.Meta["snapshot.json"].Version = 2
	s.repo.Publish("timestamp")
	s.repo.Put("snapshot", 2, snapshot)
	s.refresh(1)
	s.asks("2.root timestamp 2.snapshot")
	s.trusts("root 1, timestamp 2")
}
