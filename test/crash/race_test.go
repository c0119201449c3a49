//go:build race

package crash

// raced: the race detector makes everything ten times as slow, and is wanted for the packages' own tests.
const raced = true
