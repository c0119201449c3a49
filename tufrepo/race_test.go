//go:build race

package tufrepo

// everyNth thins out the crash tests: one goroutine at a time works there, and
// the race detector makes it ten times slower.
const everyNth = 4
