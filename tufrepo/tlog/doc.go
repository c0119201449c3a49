// Package tlog is the device's side of the transparency log: what an entry of
// the log says of a release, which log and which witnesses are believed, and
// whether a proof holds. It reads bytes and asks nobody; it holds no server
// code.
//
// # Parties
//
// The publisher puts an entry for each release into an append-only log before
// it signs the release's way into the repository. The log signs checkpoints: so
// many entries, with this Merkle root. Witnesses, run by others, cosign a
// checkpoint once they have seen that it continues the one they cosigned
// before. A device believes a checkpoint that one of the policy's logs signed
// and enough of its witnesses cosigned. Monitors read the whole log.
//
// So whoever holds every signing key can still not give a release to one device
// alone: either it stands in the log that everybody reads, or enough witnesses
// have lied together with the log.
//
// # The entry
//
// A Leaf is made of what the product's role says of a release manifest, that is
// of the verified TUF target alone: path, length, SHA-256, product, version,
// counter, hardware. The manifest pins all the rest. Engineer, publisher,
// device and monitor each make it for themselves and compare; nobody takes an
// entry from somebody else.
//
// # The proof
//
// A C2SP tlog-proof@v1: where the entry stands, the hashes from there to the
// root, and the cosigned checkpoint. It vouches for itself, so it is not signed
// by TUF, and comes from wherever the manifest comes from. Its name holds the
// policy's id: proofs for one policy are never changed, and a new policy brings
// new ones.
//
// # The policy
//
// A C2SP tlog-policy file, the target PolicyPath of the top-level targets role.
// So the people who say which products there are say which log is believed, by
// their threshold. A policy without any log line asks for no proof: that is
// the one way to leave a log again, because a device that has met a policy
// keeps it when later targets have none.
//
// # Limits and strictness
//
// Sizes are limited before anything is parsed. A proof must print back to the
// same bytes. A key stands in a policy once, under one name, so that none
// counts twice. A log's key is Ed25519 (signature type 0x01), a witness's
// Ed25519 (0x04) or ML-DSA-44 (0x06). A cosignature of the latter takes 3.3 KB,
// so a proof has room for four.
//
// # Not promised
//
// Freshness, or that a release is any good: the log says only that everybody
// can see it. A device checks no consistency between checkpoints; witnesses and
// monitors do.
package tlog
