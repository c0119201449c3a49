//go:build !long

package faults

import (
	"math/rand/v2"
	"time"
)

// thorough says whether all jobs are swept, or those that say the most.
const thorough = false

// picks are those of n calls that fail: the first of them that is made at all.
func picks(rnd *rand.Rand, n int) []int { return []int{1 + rnd.IntN(n), 1} }

// largeImage is one for which memory is too small, in bytes.
const largeImage = 64 << 20

// slowSync is how long each sync of a slow disk takes.
const slowSync = 50 * time.Millisecond

// memoryWays are in how many ways a large image is installed in small memory: whole, by a patch.
const memoryWays = 1

// patience is how long a program may take.
const patience = 1 * time.Minute
