//go:build !long

package crash

// publishAgain: on one in so many media the publisher does its work again.
const publishAgain = 8

// tryCommented: syncs that a comment calls not needed are left out as well, to see whether that is still so.
const tryCommented = false

// faultStep: one operation in so many fails.
const faultStep = 29

func beginnings() []scenario { return scenarios() }

// depths are how far the exploration goes, and how many distinct media are wanted of it.
func depths() (bounds []Bounds, arrive, want int) {
	return []Bounds{
		{All: 6, Samples: 20, Tears: 5, Seed: *seed},
		{All: 3, Samples: 2, Tears: 1, Of: 36, Seed: *seed},
	}, 30, 25_000
}
