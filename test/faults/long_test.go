//go:build long

package faults

import "math/rand/v2"

// thorough says whether all jobs are swept, or those that say the most.
const thorough = true

// mostPicks is how many calls of one kind fail in one job.
const mostPicks = 60

// picks are those of n calls that fail: all, or where there are many, as many as there is time for.
func picks(rnd *rand.Rand, n int) (all []int) {
	for i := 1; i <= n; i++ {
		if n <= mostPicks || rnd.IntN(n) < mostPicks {
			all = append(all, i)
		}
	}
	return all
}
