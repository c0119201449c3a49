// Package store is the director's memory: an SQLite file, or a PostgreSQL database where the
// fleet outgrows one machine or two directors share it.
//
// # Promises
//
// What [Store.Update] has returned nil for survives a power cut: SQLite runs in WAL mode with
// synchronous=FULL, PostgreSQL with synchronous_commit and, unless its owner has changed it,
// fsync; a device is acknowledged only after that. An update that returned an error has left
// nothing, but for [ErrUnknown]. [Store.View] sees one state of the database.
//
// # Writing it so that it may run twice
//
// An update is run again from its beginning where another came between, and by its caller
// after ErrUnknown: the connection was lost at the commit, and the server has stored all of
// it or nothing. So writes have names of their own, made before the update begins: an event
// is (device, epoch, seq), an update, rollout or token has an id, an entry of the audit chain a
// number. The second time they meet themselves and change nothing, or ErrConflict says so.
//
// # One writer, or many
//
// SQLite has one writer at a time. All writes go through one goroutine, which puts
// whatever is waiting into one transaction: a thousand devices that report at once
// cost a few flushes of the disk, not a thousand. Each update has a savepoint of its
// own, so one that fails takes nobody along. Readers have their own connections and
// never wait for the writer.
//
// PostgreSQL has many writers, and flushes the commits of all of them at once. Each update
// has a transaction and a connection of its own, at REPEATABLE READ: it sees one state of
// the database, and if a row that it changes was changed since, it runs again. What two
// updates must not both do without a row in common is kept by a unique index, or by a
// [Tx.Lease]. The stricter SERIALIZABLE is not used: there a long turn of a rollout would
// lose against every report that comes in meanwhile.
//
// # A server that is gone
//
// Connections are made again as they are needed. An update that meets a dead one is run
// again a few times within half a second, then fails with [ErrUnavailable]; so do all until
// the server is back, without a restart of the director. A server that does not answer at
// all counts as gone after a minute.
//
// # Two directors
//
// On PostgreSQL several directors may share a database. [Options].Node tells them apart:
// each knows which devices are connected to it. What only one may do at a time, such as the
// turns of a rollout, it does under a lease. A lease is kept by time between turns and by a
// row within one: see Tx.Lease.
//
// # An older copy
//
// Somebody may put a backup in the place of the database, and devices have seen what came
// after it. The generation is there to notice: a director calls [Tx.NextGeneration] when it
// starts and every minute or so, and keeps what it returned in a file that is not part of the
// database. Where that file has a higher number than [Tx.Generation], the database is an older
// copy: the director says so, raises the generation above, and lets the versions of directions
// jump over what devices have accepted. What lies between the last call and the loss goes
// unnoticed.
//
// # Tables
//
// See migrations/. Times are seconds since 1970, zero for never, unless a column says
// otherwise. Directions are kept as the bytes that were signed. Events are named by (device,
// epoch, seq); a second arrival under the same name changes nothing. Texts compare and sort by
// their bytes on both engines.
//
// Migrations are numbered files that only ever get added, written once for both engines; see
// forSQLite and forPostgres. Each runs in a transaction that also notes its number. Directors
// that start at the same time wait for each other. A database from a later version is refused.
//
// Statements are SQL that both engines understand, with ? for arguments.
package store
