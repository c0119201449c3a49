package service

import (
	"fmt"
	"testing"
	"time"
)

func TestAddressLimits(t *testing.T) {
	now := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	a := newAddressLimits(10, func() time.Time { return now })
	allowed := func(remote string, n int) (got int) {
		for range n {
			if a.allow(remote) {
				got++
			}
		}
		return got
	}
	if got := allowed("192.0.2.1:1000", 100); got != 40 {
		t.Errorf("at once %d are allowed, want 40", got)
	}
	if got := allowed("192.0.2.1:2000", 1) + allowed("[::ffff:192.0.2.1]:3000", 1); got != 0 {
		t.Error("another port, or another spelling, is another address")
	}
	if got := allowed("192.0.2.2:1000", 1); got != 1 {
		t.Error("one address exhausts another")
	}
	now = now.Add(time.Second)
	if got := allowed("192.0.2.1:1000", 100); got != 10 {
		t.Errorf("a second later %d are allowed, want 10", got)
	}
	if allowed("[2001:db8::1]:1", 100); allowed("[2001:db8::2]:1", 1) != 0 || allowed("[2001:db8:0:1::1]:1", 1) != 1 {
		t.Error("IPv6 is not limited by /64")
	}
	for range 4 { // of 40, each failure costs 10
		a.allow("192.0.2.3:1")
		a.failed("192.0.2.3:1")
	}
	if got := allowed("192.0.2.3:1", 1); got != 0 {
		t.Error("failures cost no more than successes")
	}
	for i := range maxAddresses + 10 {
		a.allow(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(a.buckets) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(a.buckets))
	}
}
