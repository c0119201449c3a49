package main

import (
	"slices"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// The scenarios of test_keys.py.

func TestSnapshotBelowThreshold(t *testing.T) {
	s := start(t)
	s.repo.Root.Signed.Roles["snapshot"].Threshold = 3
	for range 2 {
		s.repo.AddKey("snapshot", tuftest.NewKey("ecdsa"))
	}
	s.repo.Publish("root")
	s.publishAll()
	s.init()
	s.refresh(0)
	s.repo.Keys["snapshot"] = s.repo.Keys["snapshot"][:2]
	s.publishAll()
	s.refresh(1)
	s.trusts("root 2, snapshot 2, targets 2, timestamp 3")
}

func TestSnapshotHasTooFewKeys(t *testing.T) {
	s := start(t)
	s.init()
	for range 4 {
		s.repo.AddKey("snapshot", tuftest.NewKey("ecdsa"))
	}
	s.repo.Root.Signed.Roles["snapshot"].Threshold = 6
	s.repo.Publish("root", "snapshot", "timestamp")
	s.refresh(1)
	s.trusts("root 2, timestamp 2")
}

// crowd lets the snapshot be signed by one key that its role names nine times.
func crowd(s *suite) {
	k := tuftest.NewKey("ecdsa")
	for range 9 {
		s.repo.AddKey("snapshot", k)
	}
	s.repo.Keys["snapshot"] = s.repo.Keys["snapshot"][:2]
	s.repo.Root.Signed.Roles["snapshot"].Threshold = 6
	s.repo.Publish("root", "snapshot", "timestamp")
}

func TestDuplicateKeys(t *testing.T) {
	s := start(t)
	s.init()
	crowd(s)
	s.signatures("snapshot", func(sigs []any) []any { return append(sigs, slices.Repeat(sigs[1:2], 8)...) })
	s.refresh(1)
	s.trusts("root 2, timestamp 2")
}

func TestDuplicateKeysOneSignature(t *testing.T) {
	s := start(t)
	s.init()
	crowd(s)
	s.refresh(1)
	s.trusts("root 2, timestamp 2")
}

func TestDuplicateSigKeyids(t *testing.T) {
	s := start(t)
	s.init()
	s.signatures("snapshot", func(sigs []any) []any { return append(sigs, sigs[0]) })
	s.refresh(1)
	s.trusts("root 1, timestamp 1")
}

func TestKeytypeAndScheme(t *testing.T) {
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		t.Run(kind, func(t *testing.T) {
			s := start(t)
			s.init()
			s.repo.AddKey("root", tuftest.NewKey(kind))
			s.repo.Root.Signed.Roles["root"].Threshold++
			s.repo.Publish("root")
			s.refresh(0)
			s.trusts("root 2, snapshot 1, targets 1, timestamp 1")

			// A signature that looks right, over something else.
			var other any
			s.signatures("root", func(sigs []any) []any { other = sigs[1]; return sigs })
			s.repo.Publish("root")
			s.signatures("root", func(sigs []any) []any { return []any{sigs[0], other} })
			s.refresh(1)
			s.trusts("root 2, snapshot 1, targets 1, timestamp 1")
		})
	}
}

func TestInvalidSigInValidMetadata(t *testing.T) {
	s := start(t)
	s.init()
	var old any
	s.signatures("timestamp", func(sigs []any) []any { old = sigs[0]; return sigs })
	s.repo.AddKey("timestamp", tuftest.NewKey("ecdsa"))
	s.repo.Publish("root", "timestamp")
	s.signatures("timestamp", func(sigs []any) []any { return []any{old, sigs[1]} })
	s.refresh(0)
	s.repo.Publish("timestamp")
	s.signatures("timestamp", func(sigs []any) []any { sigs[0].(map[string]any)["sig"] = ""; return sigs })
	s.refresh(0)
	s.trusts("root 2, snapshot 1, targets 1, timestamp 3")
}

// The scenarios of test_updater_key_rotations.py. A version of a role names
// keys and a threshold, and is signed by some.
type rotation struct {
	keys      []int
	threshold int
	sigs      []int
	refused   bool
}

// sign gives role these keys and signers.
func (s *suite) sign(role string, pool []tuftest.Key, v rotation) {
	s.repo.Root.Signed.Roles[role].KeyIDs, s.repo.Keys[role] = nil, nil
	for _, i := range v.keys {
		s.repo.AddKey(role, pool[i])
	}
	s.repo.Root.Signed.Roles[role].Threshold, s.repo.Keys[role] = v.threshold, nil
	for _, i := range v.sigs {
		s.repo.Keys[role] = append(s.repo.Keys[role], pool[i])
	}
}

func keyPool() []tuftest.Key {
	pool := make([]tuftest.Key, 10)
	for i := range pool {
		pool[i] = tuftest.NewKey("ed25519")
	}
	return pool
}

func TestRootRotation(t *testing.T) {
	one, three, five := []int{1}, []int{1, 2, 3}, []int{0, 1, 2, 3, 4}
	for name, versions := range map[string][]rotation{
		"1-of-1-key-rotation": {{one, 1, one, false}, {[]int{2}, 1, []int{2, 1}, false}, {[]int{2}, 1, []int{2}, false}},
		"1-of-1-key-rotation-unused-signatures": {
			{one, 1, []int{3, 1, 4}, false}, {[]int{2}, 1, []int{3, 2, 1, 4}, false}, {[]int{2}, 1, []int{3, 2, 4}, false},
		},
		"3-of-5-sign-with-different-keycombos": {
			{five, 3, []int{0, 2, 4}, false}, {five, 3, []int{0, 4, 1}, false}, {five, 3, []int{0, 1, 3}, false}, {five, 3, []int{0, 1, 3}, false},
		},
		"3-of-5-one-key-rotated": {{five, 3, []int{0, 2, 4}, false}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 1}, false}},
		"3-of-5-one-key-rotated-with-intermediate-step": {
			{five, 3, []int{0, 2, 4}, false}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4, 5}, false}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 5}, false},
		},
		"3-of-5-all-keys-rotated-with-intermediate-step": {
			{five, 3, []int{0, 2, 4}, false}, {[]int{5, 6, 7, 8, 9}, 3, []int{0, 2, 4, 5, 6, 7}, false}, {[]int{5, 6, 7, 8, 9}, 3, []int{5, 6, 7}, false},
		},
		"1-of-3-threshold-increase-to-2-of-3":                           {{three, 1, one, false}, {three, 2, []int{1, 2}, false}},
		"2-of-3-threshold-decrease-to-1-of-3":                           {{three, 2, []int{1, 2}, false}, {three, 1, []int{1, 2}, false}, {three, 1, one, false}},
		"1-of-2-threshold-increase-to-2-of-2":                           {{one, 1, one, false}, {[]int{1, 2}, 2, []int{1, 2}, false}},
		"1-of-1-key-rotation-fail-not-signed-with-old-key":              {{one, 1, one, false}, {[]int{2}, 1, []int{2, 3, 4}, true}},
		"1-of-1-key-rotation-fail-not-signed-with-new-key":              {{one, 1, one, false}, {[]int{2}, 1, []int{1, 3, 4}, true}},
		"3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys":        {{five, 3, []int{0, 2, 4}, false}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}, true}},
		"3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys":        {{five, 3, []int{0, 2, 4}, false}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 5}, true}},
		"1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-met":   {{three, 1, one, false}, {three, 2, []int{2}, true}},
		"2-of-3-threshold-decrease-to-1-of-3-fails-old-threshold-unmet": {{three, 2, []int{1, 2}, false}, {three, 1, one, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s, pool := start(t), keyPool()
			s.repo.Withdraw("root")
			s.repo.Root.Signed.Version = 1
			for _, v := range versions {
				s.sign("root", pool, v)
				s.repo.Publish("root")
			}
			s.root = s.repo.Version("root", 1)
			s.init()
			last := int64(len(versions))
			if versions[last-1].refused {
				s.refresh(1)
				last--
			} else {
				s.refresh(0)
			}
			s.holds("root", s.repo.Version("root", last))
		})
	}
}

func TestNonRootRotations(t *testing.T) {
	five, other := []int{0, 1, 2, 3, 4}, []int{0, 1, 3, 4, 5}
	for name, v := range map[string]rotation{
		"1-of-1-key-rotation":                              {[]int{2}, 1, []int{2}, false},
		"1-of-1-key-rotation-unused-signatures":            {[]int{1}, 1, []int{3, 1, 4}, false},
		"1-of-1-key-rotation-fail-not-signed-with-new-key": {[]int{2}, 1, []int{1, 3, 4}, true},
		"3-of-5-one-key-signature-wrong":                   {other, 3, []int{0, 2, 4}, true},
		"2-of-5-one-key-signature-missing":                 {other, 3, []int{0, 4}, true},
		"3-of-5-sign-first-combo":                          {five, 3, []int{0, 2, 4}, false},
		"3-of-5-sign-second-combo":                         {five, 3, []int{0, 4, 1}, false},
		"3-of-5-sign-third-combo":                          {five, 3, []int{0, 1, 3}, false},
		"3-of-5-sign-fourth-combo":                         {five, 3, []int{1, 2, 3}, false},
		"3-of-5-sign-fifth-combo":                          {five, 3, []int{2, 3, 4}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, pool := start(t), keyPool()
			s.init()
			for _, role := range []string{"timestamp", "snapshot", "targets"} {
				s.sign(role, pool, v)
				s.repo.Publish("root")
				s.publishAll()
				if v.refused {
					s.refresh(1)
					continue
				}
				s.refresh(0)
				_, want := s.repo.Newest(role)
				s.holds(role, want)
			}
		})
	}
}
