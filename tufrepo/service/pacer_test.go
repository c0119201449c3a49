package service

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestPacer: no more than it says in any one second, though many have waited while it was quiet.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 300
		p, began := newPacer(most), time.Now()
		var through []time.Time
		for n := range 1000 {
			if n == 500 {
				time.Sleep(3 * time.Second)
			}
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			through = append(through, time.Now())
			if n >= most && through[n].Sub(through[n-most]) < time.Second {
				t.Fatalf("%d within %v", most+1, through[n].Sub(through[n-most]))
			}
		}
		if took := through[999].Sub(began); took > 8*time.Second {
			t.Errorf("1,000 took %v", took)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if p.wait(ended) == nil {
			t.Error("who has gone is let through")
		}
	})
}
