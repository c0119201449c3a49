package main

import (
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// The scenarios of test_expiration.py and test_delegated_expiration.py.

func TestRootExpired(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Publish("root")
	s.refresh(0)
	s.repo.Root.Signed.Expires = s.now.AddDate(0, 0, -1)
	s.repo.Publish("root")
	s.publishAll()
	s.refresh(1)
	s.trusts("root 3, snapshot 1, targets 1, timestamp 1")
}

func TestTimestampExpired(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Timestamp.Signed.Expires = s.now.AddDate(0, 0, -5)
	s.repo.Publish("timestamp")
	s.refresh(1)
	s.trusts("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestSnapshotExpired(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Snapshot.Signed.Expires = s.now.AddDate(0, 0, -5)
	s.repo.Publish("snapshot", "timestamp")
	s.refresh(1)
	s.trusts("root 1, snapshot 1, targets 1, timestamp 2")
}

func TestTargetsExpired(t *testing.T) {
	s := start(t)
	s.init()
	s.refresh(0)
	s.repo.Targets["targets"].Signed.Expires = s.now.AddDate(0, 0, -5)
	s.publishAll()
	s.refresh(1)
	s.trusts("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestExpiredLocalRoot(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Root.Signed.Expires = s.now.AddDate(0, 0, 7)
	s.repo.Publish("root")
	s.refresh(0)
	s.repo.Root.Signed.Expires = s.now.AddDate(0, 0, 21)
	s.repo.Publish("root")
	s.now = s.now.AddDate(0, 0, 18)
	s.refresh(0)
	s.trusts("root 3, snapshot 1, targets 1, timestamp 1")
}

func TestExpiredLocalTimestamp(t *testing.T) {
	s := start(t)
	s.init()
	s.repo.Timestamp.Signed.Expires = s.now.AddDate(0, 0, 7)
	s.repo.Publish("timestamp")
	s.refresh(0)
	s.repo.Timestamp.Signed.Expires = s.now.AddDate(0, 0, 21)
	s.publishAll()
	s.now = s.now.AddDate(0, 0, 18)
	s.refresh(0)
	s.trusts("root 1, snapshot 2, targets 2, timestamp 3")
}

// withDelegated has a role that expires in days, with two targets.
func withDelegated(t *testing.T, days int) *suite {
	s := start(t)
	s.init()
	s.repo.Delegate("targets", paths("delegated", "delegatedpath/*"))
	s.repo.Targets["delegated"] = metadata.Targets(s.now.AddDate(0, 0, days))
	s.repo.AddTarget("delegated", "delegatedpath/first", []byte("first"))
	s.repo.AddTarget("delegated", "delegatedpath/second", []byte("second"))
	s.repo.Publish("delegated")
	s.publishAll()
	return s
}

func TestDelegatedTargetsExpired(t *testing.T) {
	s := withDelegated(t, -1)
	s.refresh(0)
	s.download(1, "delegatedpath/first")
	s.has()
	s.trusts("root 1, snapshot 2, targets 2, timestamp 2")
}

func TestExpiredLocalDelegatedTargets(t *testing.T) {
	s := withDelegated(t, 7)
	s.download(0, "delegatedpath/first")
	s.has("first")
	s.now = s.now.AddDate(0, 0, 18)
	s.download(1, "delegatedpath/second")
	s.has("first")
}

func TestExpiredLocalDelegatedTargetsUpdates(t *testing.T) {
	s := withDelegated(t, 7)
	s.download(0, "delegatedpath/first")
	s.repo.Targets["delegated"].Signed.Expires = s.now.AddDate(0, 0, 21)
	s.repo.Publish("delegated", "snapshot", "timestamp")
	s.now = s.now.AddDate(0, 0, 18)
	s.download(0, "delegatedpath/second")
	s.has("first", "second")
}
