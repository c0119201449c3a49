package broker

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// begin counts something that Close waits for: a connection, or a delivery on one.
func (b *Broker) begin(s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.open[s] = true
	b.wg.Add(1)
	return true
}

// drainGap is the longest pause between two connections that are ended: a small fleet does
// not keep anybody waiting.
const drainGap = 10 * time.Millisecond

// Drain takes no new connections and ends those there are, evenly spread over a time or
// sooner, so that they do not all come back at once. It returns early when ctx ends.
func (b *Broker) Drain(ctx context.Context, over time.Duration) {
	all := b.shut()
	if len(all) == 0 {
		return
	}
	tick := time.NewTicker(min(max(over/time.Duration(len(all)), time.Microsecond), drainGap))
	defer tick.Stop()
	for _, s := range all {
		s.disconnect(packets.ErrServerShuttingDown)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// shut closes the door and returns who is inside.
func (b *Broker) shut() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return slices.Collect(maps.Keys(b.open))
}

// Close ends every connection and waits for what they have begun.
func (b *Broker) Close() error {
	for _, s := range b.shut() {
		s.disconnect(packets.ErrServerShuttingDown)
	}
	b.cancel()
	b.wg.Wait()
	return b.mqtt.Close()
}
