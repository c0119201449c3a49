// Package client is the device's side of TUF: it learns which metadata is
// genuine and fresh, resolves a target path, and streams what the target
// names. It holds no server code.
//
// # Parties
//
// A repository is one TUF root and what it signs. A Client follows the image
// repository (offline keys, one delegated role per product); a Director
// follows the root of a tenant's director, whose directions come one by one,
// signed by its targets role, without snapshot or timestamp. The transport, a
// Source, need not be trusted: it can delay and refuse, and that is all.
//
// # Names
//
// A Source serves slash-separated names, percent-escaped as in a URL where a
// role or target path holds unusual characters (release names never do):
//
//	metadata/<N>.root.json  metadata/timestamp.json  metadata/<N>.<role>.json
//	targets/<dir>/<sha256>.<file>   blobs/<sha256>
//	targets/<dir>/<sha256>.<file>.<policy>.tlog-proof
//	director/<tenant>/<N>.root.json
//
// # Files
//
// Dir belongs to the client. One process at a time: a lock file says so.
//
//	lock           held while the client is open
//	floors.0, .1   what must never fall (two generations, package durable);
//	               of a Director, the newest accepted direction too
//	metadata/      root.json, timestamp.json, ... as served, byte for byte
//
// The cache under metadata is only a cache: a file that is torn, foreign or
// too long is dropped and fetched again. The floors are kept apart from it:
// root, timestamp and snapshot version, the version of every role that the
// last trusted snapshot lists, with digests, and trusted time. Both may be
// lost together only with the medium; then trust starts again at the pinned
// root. The newest root verified is kept, and a root below its floor is never
// used, whatever root the caller pins.
//
// # Refresh
//
// The TUF client workflow (specification 1.0.34, section 5.3 to 5.6) with
// go-tuf's metadata types and trusted set, and what a device needs beyond:
// sizes are limited before anything is parsed, and a length signed by a parent
// can only lower the limit; JSON that two readers could read in two ways never
// reaches go-tuf; a panic of a parser becomes an error of class "format";
// each new root is durable before the next is asked for; versions may neither
// fall nor leap; one version may not name two contents. A poll that finds nothing
// new asks for two files, and writes none.
//
// A root that withdraws a key of the timestamp role resets the floors of
// timestamp and snapshot; one that withdraws a key of the snapshot role resets
// those of all other roles (5.3.11): so the owner of the root recovers a fleet
// that a thief of an online key has fast-forwarded.
//
// # Ahead
//
// On a long line an update would begin with a row of waits: for the next root, the timestamp, the snapshot, targets, the
// product's role, the manifest, the beginning of the artifact. RefreshFor asks for what it can name beside what it waits
// for, if the source is an AheadSource. Answers that are waited for one after the other, up to the first byte of the
// artifact, connections apart:
//
//	Refresh, Target, Manifest, Open              7
//	RefreshFor a release that is known by name   5   root + timestamp; snapshot; targets + role; manifest + proof; artifact
//	RefreshFor a release that a direction names  2   root + manifest; timestamp + artifact
//
// In the last case the artifact comes while the snapshot, targets and the role are asked for and verified.
//
// What is verified, and in which order, does not change: the answers wait in memory, 256 KiB of each and 1 MiB together at
// most, until the very step that would have asked for them takes them. What is known by length and hash is compared before
// it is handed over; if it differs, or does not come, it is asked for anew. At most two requests are under way that
// nobody waits for, and none for a poll: all of it takes two connections.
//
// # Log
//
// Where the top-level targets role names a log policy (package tlog), Refresh
// takes it over and keeps it with the floors, durably; a later role that names
// none leaves it in force. Manifest then wants a proof that the release stands
// in a log of the policy: it makes the entry from the verified target, fetches
// the proof from beside the manifest, and verifies it by the policy alone.
//
// # Time
//
// Trusted time is the latest of the clock, the build time and the floor. Only
// verified metadata raises the floor ("x-fairlead-issued" of the timestamp,
// the issue time of a direction), and never beyond the expiry of the metadata
// that says it or of the root: a clock at 1970 does not revive the past, a
// clock at 2099 makes metadata look expired until it is set right, and leaves
// nothing behind.
//
// # Not promised
//
// Secrecy; progress when the network withholds everything (ErrUnavailable, and
// ErrExpired in time, say so); protection from someone who writes to Dir.
// path_hash_prefixes are never matched. Bytes given to Fetch's writer are
// verified only once Fetch has returned nil.
package client
