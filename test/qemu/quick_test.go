//go:build !long

package qemu

import (
	"bytes"
	"testing"
)

// lanes is how many devices there are at once.
const lanes = 1

// delivered is the state of the bootloader at the factory. Without one there would be a start more.
const delivered = "fl_committed=a\nfl_trial=n\nfl_tries=0\nfl_a=g\nfl_b=n\nfl_check=an0gn\n"

// faults are those of the releases that a device falls back from.
func faults() []string { return []string{panics} }

// fallible is the device that falls back: the one that there is, told to try a release once. A machine less is started.
func (w *world) fallible(t *testing.T, base *disk) *disk {
	d := base.clone()
	tries := []byte(`"tries":2`)
	if n := bytes.Count(d.data[dataAt:], tries); n != 1 {
		t.Fatalf("the device's configuration is there %d times", n)
	}
	d.data[dataAt+bytes.Index(d.data[dataAt:], tries)+len(tries)-1] = '1'
	return d
}

func (w *world) more(*testing.T, []*disk) {}
