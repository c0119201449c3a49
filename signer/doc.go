// Package signer is the release engineer's desk: keys, the root ceremony,
// products, releases. It works offline, on files alone.
//
// # Parties
//
// People hold keys. Each signs on a machine of their own, and no private key ever
// leaves it. What travels between them is a folder, the bundle, on whatever carries
// files. Whoever carries a bundle can lose it or garble it. They cannot add a
// signature, and what they change stops the signatures from verifying.
//
//	root keys       name the keys of every role, their own successors too; threshold of several people
//	targets keys    name the products and each product's keys
//	product keys    sign the releases of one product
//	online keys     timestamp and snapshot; the repository keeps them and signs by itself
//
// A director's root is made with the same ceremony. Its targets key is the tenant's
// online key, which is why it must be asked for by name ([NewRootOptions].Director):
// elsewhere an online key in the root or targets role is warned about.
//
// # Files
//
// A bundle has the layout of the repository it is meant for, and carries what its
// signers need to judge it:
//
//	metadata/<N>.<role>.json             drafts, with the signatures so far
//	targets/<product>/<version>.json     release manifests
//	targets/tlog-policy.txt              the log policy that the next targets file names
//	blobs/<sha256>                       artifacts
//	base/metadata/<N>.<role>.json        the published files that the drafts follow; never published again
//
// Without base/ a signer could not see which keys enter and which leave. A bundle
// that is only signed, not published, may travel without blobs/: what is signed is
// the manifest, and the manifest pins the blobs.
//
// Two members of ours stand in the signed part of every draft. TUF clients keep
// members that they do not know and make nothing of them:
//
//	"x-fairlead-issued"   when it was drafted, RFC 3339, UTC, whole seconds
//	"x-fairlead-owners"   key id -> the name of the key's file when it was added
//
// The owner is a label for people. It is not part of the key, because a key's id is
// the hash of the whole key object: a label inside would give one key two ids, and
// a signature made under the one does not count under the other. What counts is
// the id, and the id is always shown beside the label.
//
// # The ceremony
//
//	NewRoot, RotateRoot     a root draft; thresholds that cannot be met are refused
//	AddProduct              a targets draft that delegates "<product>/*" to the product's keys
//	SetLogPolicy            a targets draft that says which log and witnesses devices believe
//	NewRelease              image -> artifact, manifest, product role draft
//	Promote                 a product role draft in which a release is in another channel
//	Sign                    one key's signature on every draft that asks for it
//	Merge                   signatures made apart on copies of one bundle
//	ReadView                who has signed, who must still, what changes
//	ReadCeremony            who must do what next, and what each may do then: a record beside the bundle
//
// A root's successor must be signed by a threshold of the old root's keys and by a
// threshold of its own; [View] shows these as two rules.
//
// Rotation costs: one root version, for every device one more small file to fetch,
// once. Where keys of the targets role change, the targets file is drafted anew if
// the signatures it has no longer suffice. Where a product's keys change, so is the
// product's role.
//
// # Promises
//
// Nothing is half made: a bundle is built in a folder beside its place and renamed
// when it is whole and on disk; each signature replaces one file at once.
//
// What a person signs is told in words first, computed from the bytes that are then
// signed. A draft that a device would refuse for any reason but missing signatures
// is not signed.
//
// The same key signs one file once. Signing again replaces the signature.
//
// # Not promised
//
// That an image is good, or that it is the one that was meant: signers compare the
// image's SHA-256, which is shown, with their own build's. That a label is true:
// compare ids in person when a key is first added. That base/ is the newest
// published state: [Verify] with a copy of the repository's metadata tells.
package signer
