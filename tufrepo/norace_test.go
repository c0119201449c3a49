//go:build !race

package tufrepo

// everyNth: every moment is tested.
const everyNth = 1
