//go:build !long

package qemu

import "testing"

// lanes is how many devices there are at once.
const lanes = 1

// faults are those of the releases that a device falls back from.
func faults() []string { return []string{panics} }

// watchdog of the device that falls back.
const watchdog = patient

func (w *world) more(*testing.T, []*disk) {}
