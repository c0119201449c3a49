package network

import (
	"fmt"
	"time"
)

// Class is a kind of line. The zero value is the machine's own loopback.
type Class struct {
	Rate    int64         // bytes a second in each direction; 0 for no limit
	Latency time.Duration // of a round trip
	Loss    float64       // 0 to 1
	Offline time.Duration // down so long of every Every
	Every   time.Duration
	Portal  bool
	Proxy   bool
	Corrupt int64 // a bit every so many bytes received; 0 for never
}

// Bounds of classes.
const (
	minRate    = 1 << 10
	maxLatency = 10 * time.Second
)

// Check says what cannot be.
func (c Class) Check() error {
	switch {
	case c.Rate != 0 && c.Rate < minRate:
		return fmt.Errorf("rate: %d bytes a second is less than %d: no TLS handshake would end", c.Rate, minRate)
	case c.Latency < 0 || c.Latency > maxLatency:
		return fmt.Errorf("latency: %v is not within 0 and %v", c.Latency, maxLatency)
	case c.Loss < 0 || c.Loss > 0.5:
		return fmt.Errorf("loss: %g is not within 0 and 50 percent", c.Loss)
	case c.Offline < 0 || c.Offline > 0 && c.Offline >= c.Every:
		return fmt.Errorf("offline: %v of every %v leaves no time", c.Offline, c.Every)
	case c.Corrupt < 0:
		return fmt.Errorf("corrupt: %d bytes: want 0 for never, or more", c.Corrupt)
	}
	return nil
}
