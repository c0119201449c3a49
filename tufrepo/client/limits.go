package client

// Limits bound what the repository may ask of the device. A zero field means
// the default named beside it.
type Limits struct {
	Root      int64 // bytes of one root, 512,000
	Timestamp int64 // bytes of the timestamp, 16 KiB
	Snapshot  int64 // bytes of the snapshot, 2,000,000
	Targets   int64 // bytes of one targets role, 5,000,000

	RootRotations int // roots followed in one refresh, 256; the next goes on
	Delegations   int // roles visited in search of one target, 32
	RoleKeys      int // keys and signatures of one role, 32

	// VersionJump is how far a version may be ahead of its floor (of 0 where
	// there is none), 1,000,000: else a stolen online key could use up the
	// numbers.
	VersionJump int64
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Root, 512_000)
	orDefault(&l.Timestamp, 16<<10)
	orDefault(&l.Snapshot, 2_000_000)
	orDefault(&l.Targets, 5_000_000)
	orDefault(&l.RootRotations, 256)
	orDefault(&l.Delegations, 32)
	orDefault(&l.RoleKeys, 32)
	orDefault(&l.VersionJump, 1_000_000)
	return l
}

func orDefault[T int | int64](v *T, fallback T) {
	if *v <= 0 {
		*v = fallback
	}
}

// file is the most that any cached file may have.
func (l Limits) file() int64 { return max(l.Root, l.Timestamp, l.Snapshot, l.Targets) }
