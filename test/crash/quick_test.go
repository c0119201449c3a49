//go:build !long

package crash

// publishAgain: on one in so many media the publisher does its work again.
const publishAgain = 8

// faultStep: one operation in so many fails.
const faultStep = 29

// depths are how far the exploration goes, and how many distinct media are wanted of it.
func depths() (bounds []Bounds, arrive, want int) {
	return []Bounds{
		{All: 5, Samples: 8, Tears: 3, Seed: *seed},
		{All: 3, Samples: 2, Tears: 1, Of: 80, Seed: *seed},
	}, 30, 25_000
}
