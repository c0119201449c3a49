// Package bundle reads and judges what people carry to the repository.
//
// Parties. Release engineers put metadata and files into a bundle and sign it,
// each on their own machine; the publisher takes it into the repository. Both
// ask this package whether the bundle would pass, and get the same answer. It
// holds no key and writes no file.
//
// A bundle is a folder with the layout of the repository, and nothing else:
//
//	metadata/<N>.root.json            new root versions, in any number
//	metadata/<N>.targets.json         the next targets: which products there are
//	metadata/<N>.<product>.json       the next role of a product
//	targets/<product>/<version>.json  release manifests
//	targets/tlog-policy.txt           the next log policy (package tlog)
//	blobs/<sha256>                    what the manifests pin
//	base/…                            for signers only: what the drafts follow; passed over
//
// Any combination may be there. What the repository already holds need not be;
// if it is, with the same bytes, it is passed over. Snapshot and timestamp are
// made by the repository and never travel.
//
// Check verifies as a device would, with nothing trusted but the repository
// that the bundle is for (a Base): roots by the old and the new keys, one
// version at a time; thresholds of distinct keys; one delegation per product,
// for exactly that product's paths; manifests by length, hash, path and
// product; counters that only grow; blobs by length and hash; the head of every
// artifact and patch, and that a patch is smaller than the artifact. Of the
// top-level roles go-tuf's own verification has the last word; what this
// package adds is stricter. The signatures of products are counted here.
//
// Metadata is read with limits, then by strictjson, then by go-tuf behind a
// recover, then printed again: bytes that go-tuf would read but not sign for
// (it forgets unknown members in places) are refused. The file of a product
// lists up to 200 releases and is read at every step of each: where it is exactly
// what this toolchain prints it is read and printed without go-tuf, with the
// same result.
//
// Not promised: that an image is any good, that the artifact unpacks to it and
// the patches make it, or that any device has their bases; Check compares the
// bytes of both with the manifest and does not decode them.
package bundle
