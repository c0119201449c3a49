// Package delta makes a patch of two images, and the newer image of a patch and the older one.
//
// # Parties
//
// Create runs on the host, with both images whole, their memory and their time. A Decoder runs on a device: it gets one
// stored frame, reads what it needs of the base (the image in the running slot) and gives one frame of the new image. It
// needs no frame but this one, in memory of about a megabyte beside it, so that frames can be decoded in any order, by
// several decoders at a time, and again after any interruption. The head of a patch (package firmware) pins the stored
// bytes and the image bytes of each frame by SHA-256, and the manifest pins the head.
//
// # A stored frame
//
// One arithmetic code (see coder) of a list of operations that fill the frame from its start to its end:
//
//	copy     bytes of the base
//	fields   bytes of the base, of which some changed: programs that moved, tables, addresses
//	fresh    bytes that the base does not have, coded by what precedes them in the frame
//	raw      such bytes that cannot be made smaller
//	zero     zeros
//
// Every decision is a bit or a symbol of four, with probabilities that both sides learn from those before it; each frame
// begins with the same ones. The type fields says how changes are foreseen, literals how fresh bytes are.
//
// # What goes wrong
//
// Stored bytes that are not those of the head are firmware.ErrCorrupt: the source is wrong. Whatever goes wrong after them
// is ErrBase, because the stored bytes were right: a root file system that was mounted for writing, a bit that flipped. The
// frame is to be fetched from the artifact then.
//
// # Not promised
//
// That two releases of this package make the same patch. A later one reads what an earlier one made, or refuses it by the
// kind of its frames.
package delta
