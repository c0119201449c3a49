package outbox

import "github.com/fairlead/fairlead/agent/wire"

// victims are the events that must go so that one more, of any size, fits.
func (b *Outbox) victims(update string) []entry {
	events := len(b.events) + 1 - b.o.MaxEvents
	bytes := b.live + wire.MaxEvent - b.o.MaxBytes
	if events <= 0 && bytes <= 0 {
		return nil
	}
	var out []entry
	for _, e := range b.expendable(update) {
		if events <= 0 && bytes <= 0 {
			break
		}
		out = append(out, e)
		events--
		bytes -= e.size
	}
	return out
}

// expendable lists what may be dropped for an event of update, the least missed first.
func (b *Outbox) expendable(update string) []entry {
	newest := map[string]int{}
	for i, e := range b.events {
		newest[e.Update] = i
	}
	newest[update] = len(b.events)
	var steps, last []entry
	for i, e := range b.events {
		switch {
		case e.State.Final(), e.State == wire.Staged: // the end of some
		case newest[e.Update] != i:
			steps = append(steps, e)
		default:
			last = append(last, e)
		}
	}
	return append(steps, last...)
}

// weigh counts the bytes of events, and how many events they stand for with those that
// were dropped before them.
func weigh(events []entry) (bytes int, dropped int64) {
	for _, e := range events {
		bytes += e.size
		dropped += 1 + e.Dropped
	}
	return bytes, dropped
}

// drop lets go of events, and says so in the log and in the file.
func (b *Outbox) drop(victims []entry) {
	if len(victims) == 0 {
		return
	}
	b.log.Warn("outbox is full, steps of updates were dropped: the service has not listened for long",
		"dropped", len(victims), "kept", len(b.events)-len(victims))
	gone := map[name]bool{}
	for _, e := range victims {
		gone[name{e.Epoch, e.Seq}] = true
	}
	b.forget(func(e wire.Event) bool { return gone[name{e.Epoch, e.Seq}] })
	for n := range gone {
		if err := b.note(kindOne, n.epoch, n.seq); err != nil {
			b.log.Warn("outbox: dropped events may come back after a restart", "error", err)
			return
		}
	}
}

// name names an event for ever.
type name struct {
	epoch string
	seq   int64
}
