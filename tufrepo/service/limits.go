package service

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// A failed enrolment costs as much as this many that succeed.
	failureCost = 10
	// maxAddresses bounds the memory of limits. When it is reached all are forgotten,
	// which is what whoever has so many addresses could have anyway.
	maxAddresses = 10_000
)

// addressLimits is a bucket for each remote address; for IPv6, for each /64.
type addressLimits struct {
	rate  rate.Limit
	burst int
	clock func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]*rate.Limiter
}

func newAddressLimits(perSecond float64, clock func() time.Time) *addressLimits {
	return &addressLimits{rate: rate.Limit(perSecond), burst: max(int(4*perSecond), 1), clock: clock, buckets: map[netip.Prefix]*rate.Limiter{}}
}

func (a *addressLimits) allow(remote string) bool { return a.bucket(remote).AllowN(a.clock(), 1) }

// failed takes what a failure costs more.
func (a *addressLimits) failed(remote string) {
	b := a.bucket(remote)
	if now := a.clock(); !b.AllowN(now, failureCost-1) {
		b.AllowN(now, max(int(b.TokensAt(now)), 0)) // all that is left
	}
}

func (a *addressLimits) bucket(remote string) *rate.Limiter {
	key := prefixOf(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[key]
	if b == nil {
		if len(a.buckets) >= maxAddresses {
			clear(a.buckets)
		}
		b = rate.NewLimiter(a.rate, a.burst)
		a.buckets[key] = b
	}
	return b
}

func prefixOf(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 32
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // the bits fit
	return p
}
