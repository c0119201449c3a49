//go:build !race

package delta

// How many images are tried.
const (
	seeds  = 30
	checks = 100
)
