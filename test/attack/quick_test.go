//go:build !long

package attack

// oneTheftIn: of so many kinds of theft one is tried.
const oneTheftIn = 3
