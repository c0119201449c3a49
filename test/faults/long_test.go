//go:build long

package faults

import (
	"math/rand/v2"
	"time"
)

// thorough says whether all jobs are swept, or those that say the most.
const thorough = true

// mostPicks is how many calls of one kind fail in one job.
const mostPicks = 40

// picks are those of n calls that fail: all, or where there are many, as many as there is time for.
func picks(rnd *rand.Rand, n int) (all []int) {
	for i := 1; i <= n; i++ {
		if n <= mostPicks || rnd.IntN(n) < mostPicks {
			all = append(all, i)
		}
	}
	return all
}

// largeImage is one for which memory is too small, in bytes.
const largeImage = 256 << 20

// slowSync is how long each sync of a slow disk takes.
const slowSync = 2000 * time.Millisecond

// memoryWays are in how many ways a large image is installed in small memory: whole, by a patch.
const memoryWays = 2

// patience is how long a program may take.
const patience = 5 * time.Minute
