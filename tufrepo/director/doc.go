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
// A device comes in with a claim token and a key that it has made itself. The token is
// counted and expires; only its hash is kept. From then on the device is known by its
// certificate: [Director.Admit] looks its row up at every connection and request, so a
// revoked device is out at once.
//
// # Directions
//
// Every enrolled device has a direction from the start: "nothing", which is also signed.
// Its version grows by one with every new one, across restarts, and jumps over what the
// device says it has accepted, so a database that was restored from an old copy heals by
// itself. Directions are short-lived; [Director.Reissue] signs them again at half their
// life with the same update name, and at once after a tenant's root has changed.
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
//	keys/{tenant}.{n}.key   online keys of a tenant, plain PKCS #8, mode 0600; the one that
//	                        the newest director root names is used
//
// # Not promised
//
// No rollouts, groups or pacing: a direction goes to the named devices at once.
package director
