// Package director says which device gets what and when.
//
// # Parties
//
// A tenant is an organisation. Its director root is signed offline and names, for the
// targets role, an online key that lives in this package's folder. With that key the
// director signs one [direction.Direction] per device. The director can choose among
// genuine releases and cannot make one: it resolves a release from the image
// repository's verified state and never from what an operator typed.
//
// A device comes in with a key that it has made itself and a claim: a token, which is counted
// and expires; a code that somebody types, once; or the word that it stands on the tenant's
// list. The tenant's [Policy] says which. Only hashes of tokens and codes are kept. From then
// on the device is known by its certificate; a custom device, which has none, by its UUID and
// an access key. [Director.Admit] and [Director.Login] look its row up at every connection and
// request, so a revoked device is out at once, and [Director.Withdrawals] tells other directors
// on the same database to ask those who are connected again.
//
// Serial and MAC are no credentials. They belong to the first key that came with them; every
// other key is refused and put into quarantine until a person decides: see [Director.Resolve].
//
// # Directions
//
// Every enrolled device has a direction from the start: "nothing", which is also signed.
// Its version grows by one with every new one, across restarts, and jumps over what the
// device says it has accepted, so a database that was restored from an old copy heals by
// itself. Directions are short-lived; [Director.Reissue] signs them again at half their
// life with the same update name, and at once after a tenant's root has changed.
//
// # Rollouts
//
// A rollout brings a release to a fleet by a plan; who is directed when decides the pure
// engine in package rollout. A turn is one update of the database: it takes the lease of the
// rollout, reads the inbox, lets the engine decide, signs the directions, and stores all of
// that with the engine's rows. Only then the devices are told. What a crash leaves stands in
// package rollout.
//
// Whatever may concern a rollout is a note in its inbox, put there by the update that stores
// the cause: a report, an answer, a connection of a silent device, a change of a device's row,
// and what other rollouts take and free. [Director.RolloutLoop] takes turns as they are due, and
// when notes have come.
//
// The engine of a rollout stays in memory between turns. What is stored has the number of its
// last turn: a memory at another number is thrown away, and so is one whose turn has failed.
// Two directors on one database share the rollouts by leases; an order for a rollout that the
// other has goes into its inbox. Where two rollouts of two directors want one device at the
// same moment, an index lets one of them have it, and the other's turn begins again.
//
// # Reports
//
// What a device says is stored before it is acknowledged. An event is named by device,
// epoch and sequence number: its second arrival is acknowledged and changes nothing.
// Devices are trusted with their own rows only, are limited in rate, and keep no more
// than [keepEvents] events each, so that one broken device does not fill the database.
//
// # Files
//
//	keys/{tenant}.{n}.key   online keys of a tenant, encrypted by the [Sealer]; the one that
//	                        the newest director root names is used. Those that an older
//	                        version left in the clear are encrypted at the start
//	keys/codes.secret       the key under which claim codes are hashed, encrypted too
//	Config.SeenFile         the newest generation of the database that this machine has seen
//
// # An older copy
//
// Where the file is ahead of the database, somebody has put an older copy in its place. The
// director then takes reports and signs nothing, until [Director.AcceptOlder].
//
// # Not promised
//
// A turn directs [rollout.MaxActions] devices at most, and nobody else writes to SQLite
// meanwhile: reports wait for seconds while a phase of thousands begins.
package director
