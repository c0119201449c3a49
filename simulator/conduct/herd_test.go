package conduct

import (
	"testing"
	"time"
)

// TestPartsAreCountedTogether: all is summed up, but for how late somebody woke up.
func TestPartsAreCountedTogether(t *testing.T) {
	sum := counters{Received: 1, Sent: 2, Connections: 3, Open: 4, CPU: 5, Mem: 6, Late: time.Second}
	sum.add(counters{Received: 10, Sent: 20, Connections: 30, Open: 40, CPU: 50, Mem: 60, Late: time.Minute})
	sum.add(counters{Received: 100, Sent: 200, Connections: 300, Open: 400, CPU: 500, Mem: 600, Late: time.Hour})
	if want := (counters{Received: 111, Sent: 222, Connections: 333, Open: 444, CPU: 555, Mem: 666, Late: time.Hour}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}
