package outbox

// Position is the name of the last event appended: seq is 0 before the first of its epoch. The
// next one appended gets seq+1, if nobody else appends. An agent that keeps the name of an
// event before it appends it can tell after a crash whether the event went in.
func (b *Outbox) Position() (epoch string, seq int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.epoch, b.next - 1
}
