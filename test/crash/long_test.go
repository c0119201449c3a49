//go:build long

package crash

// publishAgain: on one in so many media the publisher does its work again.
const publishAgain = 1

// tryCommented: syncs that a comment calls not needed are left out as well, to see whether that is still so.
const tryCommented = true

// faultStep: one operation in so many fails.
const faultStep = 1

// beginnings are all scenarios, and those in which something is rotten as well.
func beginnings() []scenario {
	all := scenarios()
	return append(all, rottenToo(all)...)
}

// depths are how far the exploration goes, and how many distinct media are wanted of it.
func depths() (bounds []Bounds, arrive, want int) {
	return []Bounds{
		{All: 8, Samples: 60, Tears: 6, Seed: *seed},
		{All: 5, Samples: 10, Tears: 2, Of: 1, Seed: *seed},
		{All: 3, Samples: 2, Tears: 1, Of: 400, Seed: *seed},
	}, 40, 1_000_000
}
