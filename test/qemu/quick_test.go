//go:build !long

package qemu

import "testing"

// lanes is how many devices there are at once.
const lanes = 1

// delivered is the state of the bootloader at the factory. Without one there would be a start more.
const delivered = "fl_committed=a\nfl_trial=n\nfl_tries=0\nfl_a=g\nfl_b=n\nfl_check=an0gn\n"

// faults are those of the releases that a device falls back from.
func faults() []string { return []string{panics} }

// watchdog of the device that falls back.
const watchdog = patient

func (w *world) more(*testing.T, []*disk) {}
