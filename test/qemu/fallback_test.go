package qemu

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fallsBack directs a device to releases that do not work, one after the other, and looks how it comes back by itself.
func (w *world) fallsBack(t *testing.T, d *disk) {
	for i, fault := range faults() {
		version := fmt.Sprintf("1.%d.0", 1+i)
		w.publish(t, version, fault)
		t.Run(fault, func(t *testing.T) {
			d = d.clone()
			took, said := w.fallBack(t, d, version)
			busy := load(t)
			t.Logf("QEMU: falls back by itself from a bad image (%s) in %.0f s, while %.1f processes want each processor", fault, took.Seconds(), busy)
			if limit := time.Duration(float64(time.Minute) * max(1, busy)); took > limit {
				t.Errorf("it takes %v, more than %v", took, limit)
			}
			if p := proofs[fault]; !strings.Contains(said, p.has) || p.lacks != "" && strings.Contains(said, p.lacks) {
				t.Errorf("the bad release does not do what it is there for: it says\n%s", said)
			}
		})
	}
}

// proofs are what a bad release says, and does not say, between its start and the next one.
var proofs = map[string]struct{ has, lacks string }{
	panics:  {"Kernel panic", "FL ready"},
	garbage: {"error: invalid magic number", "FL ready"},
	broken:  {"", "FL "},
	hangs:   {"FL hangs", "FL ready"},
	idles:   {"FL slot b", "FL status"},
	offline: {"ok=false", "connected"},
}

// fallBack is how long a device takes from the first start of a bad release to the old one that works, and what that release said.
func (w *world) fallBack(t *testing.T, d *disk, version string) (time.Duration, string) {
	m := powerOn(t, d, w.starts)
	defer m.off()
	m.wait(patience, "FL status", "connected")
	must(t, w.site.Direct(t.Context(), version))
	m.wait(patience, "FL status: rebooting")
	began := m.wait(patience, "FL start b").at
	ended := m.wait(patience, "FL status: rolled_back, connected").at
	m.off()
	must(t, w.runs(d, factory))
	_, said, _ := strings.Cut(m.text(), "FL start b")
	said, _, _ = strings.Cut(said, "FL start a")
	said, _, _ = strings.Cut(said, "FL slot a") // a start that is known says nothing
	return ended.Sub(began), said
}

// load is how many processes want each of the computer's processors.
func load(t *testing.T) float64 {
	text, err := os.ReadFile("/proc/loadavg")
	must(t, err)
	var n float64
	_, err = fmt.Sscan(string(text), &n)
	must(t, err)
	return n / float64(runtime.NumCPU())
}
