// Package store is the director's memory: one SQLite file.
//
// # Promises
//
// What [Store.Update] has returned nil for survives a power cut: the database runs
// in WAL mode with synchronous=FULL, and a device is acknowledged only after that.
// An update that returned an error has left nothing.
//
// # One writer
//
// SQLite has one writer at a time. All writes go through one goroutine, which puts
// whatever is waiting into one transaction: a thousand devices that report at once
// cost a few flushes of the disk, not a thousand. Each update has a savepoint of its
// own, so one that fails takes nobody along. Readers have their own connections and
// never wait for the writer.
//
// # Tables
//
// See migrations/. Times are seconds since 1970, zero for never. Directions are kept
// as the bytes that were signed. Events are named by (device, epoch, seq); a second
// arrival under the same name changes nothing.
//
// Migrations are numbered files that only ever get added; user_version says how far a
// database has come. A database from a later version is refused.
package store
