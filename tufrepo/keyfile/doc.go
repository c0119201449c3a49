// Package keyfile keeps signing keys in files, and signs TUF metadata with them.
//
// Parties. A release engineer's machine holds keys that are encrypted under a
// passphrase; the repository's machine holds its online keys in the clear,
// because nobody is there to type. Both go through this package, so that a key
// made by one is read by the other.
//
// Algorithms. Ed25519, and ECDSA on P-256 with SHA-256 for keys that live in
// hardware. Nothing else: go-tuf names every ECDSA key "nistp256" and signs RSA
// in a form that it does not verify, so P-384 and RSA would make signatures
// that no device accepts, and one key of an unknown kind in a role makes a
// device refuse the role.
//
// Files.
//
//	NAME.key  PEM, mode 0600
//	          "ENCRYPTED SIGSTORE PRIVATE KEY": PKCS #8 within scrypt and
//	          secretbox, as sigstore writes it, when there is a passphrase
//	          "PRIVATE KEY": plain PKCS #8 otherwise
//	NAME.pub  PEM "PUBLIC KEY": PKIX, mode 0644
//
// Promised: a key file is never overwritten; one that others can read is not
// used; a signature leaves this package only after it was verified.
//
// Not promised: that a key is wiped from memory, or that a file deleted from a
// disk is gone from it.
package keyfile
