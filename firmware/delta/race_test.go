//go:build race

package delta

// How many images are tried. Without the race detector it is more.
const (
	seeds  = 14
	checks = 35
)
