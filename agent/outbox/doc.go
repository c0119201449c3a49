// Package outbox keeps the events of a device until the service has stored them.
//
// The agent appends, the link takes the oldest and acknowledges. An event for which
// [Outbox.Append] returned survives a power cut; it leaves when it is acknowledged, or
// when the outbox is full and a newer one takes its place.
//
// # Numbers
//
// (Epoch, Seq) names an event for ever, so that the service can store it under that name
// and take it twice. Seq grows within an epoch. The epoch is random; a new one begins when
// the file is missing or damaged, because nobody knows then which numbers were used.
// Events that survived the damage keep their old names.
//
// # When it is full
//
// More than MaxEvents or MaxBytes means that nobody has listened for a very long time. The
// oldest steps that are not the newest of their update go first, then other steps that are
// not an end; never an end (committed, failed, rolled_back, rejected; staged). Event.Dropped of the
// newcomer says how many went. An outbox full of ends refuses more: [ErrFull].
//
// # The file
//
// One file, "outbox", appended to and from time to time rewritten:
//
//	0  8  magic: 0x89 "FLO" 0x0D 0x0A 0x1A 0x01
//	then records:
//	0    4  length n of the payload, little-endian
//	4    1  kind
//	5    n  payload
//	5+n  4  CRC-32C of everything before in this record, little-endian
//
//	kind 'H'  next sequence (8, little-endian), epoch: always first
//	kind 'E'  JSON of one wire.Event
//	kind 'A'  sequence, epoch: every event of the epoch up to it has left
//	kind 'D'  sequence, epoch: this one event has left
//
// Append writes one record and fsyncs. A crash leaves a whole record or a torn one; a torn
// one ends the reading, its event was never promised, and a new epoch begins. The records
// 'A' and 'D' are not fsynced: when a crash loses them, events are sent twice.
//
// A write that failed may have reached the disk nevertheless. Its number is spent, and the
// file is rewritten as a whole (durable.WriteFile) before anything else goes into it. The
// same rewrite drops what has left, once that is more than half of the file.
//
// What it does not promise: that a medium which lies about fsync keeps anything; that rot in
// the middle of the file spares what comes after it; two processes at once (the agent's lock
// sees to that).
package outbox
