//go:build !long

package faults

import "math/rand/v2"

// thorough says whether all jobs are swept, or those that say the most.
const thorough = false

// picks are those of n calls that fail: the first of them that is made at all.
func picks(rnd *rand.Rand, n int) []int { return []int{1 + rnd.IntN(n), 1} }
