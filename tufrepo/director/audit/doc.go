// Package audit is the log of who did what: append-only, chained by hashes, sealed every
// day by a signature. It holds no database, no clock and no connection.
//
// # Chains
//
// One chain per tenant and one for the service; see [ServiceChain], [TenantChain]. An entry
// goes to the chain of the tenant whose thing was touched, whoever touched it, and to the
// service's chain where no tenant's thing was: so an organisation reads in its own log what
// a partner or the operator of the service has done to it, and never of another tenant.
//
// A [Row] is the encoded [Entry], the hash of the row before and its own:
//
//	hash = SHA-256("fairlead audit row v1\0" | length of the chain's name, one byte | name |
//	               hash of the row before, 32 bytes | encoded entry)
//
// The first row follows 32 zero bytes. The entry holds its number, 1 for the first. The
// name is in every hash, so no row of one chain fits another. docs/formats.md has the bytes.
//
// # Writing
//
// In one transaction: read the [Head] of the chain, [Append], insert the row, write the new
// head, and do what the entry tells of. What changed and was not logged, or was logged and
// did not change, does not exist then. Two writers of one chain must not read the same head:
// a unique key over (chain, number) makes sure of it. The bytes of a row are stored as they
// are; columns beside them are only for searching.
//
// Secrets never go into an entry: tokens by their id, codes not at all. Callers that have
// proved nothing (see [Nobody]) can make refusals as fast as they like; whoever writes them
// sums them up, one entry per source address and minute with a count in its detail.
//
// # Heads
//
// Once a day the newest head of each chain is signed: [SignHead], a DSSE envelope by a key
// of package keyfile. DSSE, because it takes Ed25519 and P-256 keys alike, states the type
// of what is signed so that no signature passes for another, and is verified by tools that
// are not ours. The key should do nothing else.
//
// # What a check finds, and what it cannot
//
// [Verify] reads all rows once, in bounded memory, and finds each row that was altered,
// deleted, inserted, put elsewhere or given twice, up to the newest signed head, and says
// which rows are still proven on both sides of the damage. Not more than that:
//
//   - The rows after the newest signed head hang together, but whoever writes to the database
//     can cut them off or write others, and nothing shows. That is a day at most.
//   - Whoever also deletes the newest heads can cut back to any older one. So heads belong
//     outside as well: an auditor keeps copies, or at least the number and hash of each, on
//     paper or in a mailbox, and gives the kept ones to Verify. One head pins all rows before it.
//   - Whoever holds the signing key can write another history from the oldest head that
//     nobody has kept. A kept head finds it out; see [Forked].
//   - It shows that rows were changed, not that what they say was true when it was written.
//
// # Retention
//
// Old rows may go, up to a signed head: see [Boundary]. The head and the rows after it stay,
// and Verify begins there; it refuses a boundary that nobody has signed. That the rows before
// it went by the rules, and not by force, only kept heads and the entry [AuditPrune] tell.
package audit
