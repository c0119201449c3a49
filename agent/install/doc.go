// Package install brings the image of a release into a slot, and proves that it is there.
//
// # Parties
//
// The source holds the artifact and patches, and is believed in nothing: every frame's stored bytes are compared with the
// hash that the index gives before they are decoded, and the decoded bytes before they are written. The indexes are pinned
// by the manifest, which the caller has verified. The base, an image that the device has, is not believed either. The slot is a regular file or a block device that the caller has
// forbidden to the bootloader; its medium is not believed either: what is written and synced, the whole image, is read
// back, past the page cache where the system allows it, and compared frame by frame. The journal remembers what of the
// image is durable in the slot, so that a Run after a crash fetches no durable frame again.
//
// # Stages
//
//	fetch (1 goroutine)  ->  verify, decode, verify, compare, write (2 or 3)
//
// A frame is written by the worker that decoded it, while others decode; a checkpoint is made by the worker whom it
// meets, while others go on. No image is in memory: the buffers of an install are bounded by Limits.Buffers, lie outside
// of Go's heap, and are given back at the end. Each worker has room for one frame of the image; the rest is for stored
// bytes, which take as much as they have. The index comes on top, 20 KiB for an image of 1 GiB in frames of 4 MiB and 16 MiB at
// most, and 256 KiB while zeros are written to what cannot be punched; for chunks 6 MiB at most, and 300 KiB to 5 MiB for each
// worker while base and slot are searched, by the size of a chunk.
//
// # Fetching
//
// What is missing is asked for in as few requests as there are places: all of it in one, mostly, and what comes faster
// than it is written waits in the sockets, so that the source is held back by TCP. Bytes that are not wanted are read over
// where that costs less than a request, by the round trip and the rate that the line turns out to have (line). Before the end
// of a request the next one goes out. The first request of a fresh install asks for all that follows the index, too. After
// a failure the next byte is asked for, be it in the middle of a frame; waits are random, double, and are no shorter than
// what the server asks for.
//
// # Patches
//
// Where the release has a patch from the base, and it is smaller than the artifact, its frames are fetched in place of the
// artifact's. A frame that does not come out as the patch's index says although its stored bytes are right shows that the
// base is not what the patch expects, as a root file system that was mounted for writing: only the frames of the artifact
// that cover it are fetched, at the end. When so many fail that the artifact would be cheaper, or the patch is not there or
// not the one of the manifest, the artifact brings the rest. What is in the slot stays: it is counted in bytes of the image.
//
// # What the device has
//
// Frames of the artifact that the slot or the base hold at their place are not fetched. A few frames tell whether that is
// worth while: an older image of the same product may have many in common, another image none, and is not read in full.
//
// Then, if the release has chunks (package chunk) and there is a base, base and slot are searched for them. A frame is put
// together of chunks that were found and chunks that are fetched, where that is less than the frame of the artifact. What was
// found in the slot counts only where no frame is written before it is used. A frame that does not come out right is left
// to the artifact, as are all if the file of chunks is not there. Chunks lie scattered: a source that can is asked for
// many parts of the file in one request.
//
// # Writing
//
// A few blocks of 4 KiB tell whether the slot may hold a frame, or a part of it, already. If so, it is compared, and only
// blocks that differ are written: flash wears, and an older image is mostly the same. A slot that holds something else is
// not read. Long runs of zeros are left to the slot: holes in a file, zeros by the device itself. What is aligned is
// written past the page cache where the system allows it, the rest through it.
//
// # Reading back
//
// All workers read. On a line that is slower than the slot they have time before the end: a worker that waits for a frame
// reads back what a checkpoint has made durable. A few of those frames are read again when all is written, so that
// a medium of which later writes change earlier places, as one that has less room than it says, is found out; then
// everything is read again. What this run has written was compared with the index before it was written; it is compared with a
// keyed hash that was made then, under a key that is made for the run, which is many times quicker than SHA-256 where the
// processor has no instructions for that. What an earlier run has left is compared with the index. A slot in memory, as of a
// simulated fleet, lends what it holds, and that is compared where it lies.
//
// # What a crash leaves
//
// Before the first byte of the slot changes, a journal record binds the journal to the artifact, the image and the slot.
// Then, every Limits.Checkpoint bytes and every few seconds: fsync of the slot, then a record of what is durable. A crash
//
//	before the first record      the slot as it was, and another install's journal, or none
//	between two records          what the last record says is durable; the frames written after it are looked at,
//	                             and those that are right are kept
//	after the last record        a full slot: the next Run only reads it back
//
// An error or a cancelled context leaves the same, with a record of all that was written. Exceptions: when fsync
// fails, it is not tried again, because the kernel may have dropped what it could not write; the slot counts as unwritten
// and the journal is removed. So it is when a slot does not read back right, or not at all.
//
// # Healing
//
// A frame that the source gave wrong, and a frame that reads back wrong, is fetched and written once more. Then it is an
// error that names the frame; one of a patch is fetched from the artifact before.
//
// # Files
//
// In the journal's folder
//
//	install.0, install.1   a durable.Pair of JSON: {"schema":2,"slot":"b","artifact":"…","image":"…",
//	                       "durable":[{"at":0,"length":16777216},…]}, in bytes of the image
//	artifact.head          header and index, so that they are not fetched again
//	patch.head             the same of a patch
//	chunks.head            the same of the chunks
//
// A record that is unreadable or of another artifact or slot is no record; a head that is not the one of the manifest is
// no head.
//
// # Not promised
//
// A later write that damages an earlier place here and there is not found out where that place was read back before; what
// a slot holds may change at any time after it was read. The slot beyond the image's length is left as it is. That the
// frames make the image whose SHA-256 the manifest names is for those who sign a release to see to: a Run compares with
// the index, VerifySlot with the manifest. A drive that answers reads from its own cache can hide what it lost until the
// power is gone; so VerifySlot is asked again before a slot is tried.
//
// Linux only.
package install
