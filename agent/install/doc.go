// Package install brings the image of a release into a slot, and proves that it is there.
//
// # Parties
//
// The source holds the artifact, and is believed in nothing: every frame's stored bytes are compared with the hash that
// the artifact's index gives before they are decoded, and the decoded bytes before they are written. The index is pinned
// by the manifest, which the caller has verified. The slot is a regular file or a block device that the caller has
// forbidden to the bootloader; its medium is not believed either: when all is written and synced, the whole image is read
// back, past the page cache where the system allows it, and compared with the manifest. The journal remembers how much
// of the slot is durable, so that a Run after a crash fetches no durable frame again.
//
// # Stages
//
//	fetch (1 goroutine)  ->  verify and decode (1 or 2)  ->  write (1)
//
// They work at the same time and hand buffers on; a buffer that is written goes back to its stage. No image is in memory:
// the buffers of an install are bounded by Limits.Buffers (12 MiB; at least four frames), lie outside of Go's heap, and
// are given back at the end. The index of the artifact comes on top, 70 KiB for an image of 1 GiB and 16 MiB at most, and
// 256 KiB while zeros are written to what cannot be punched. A whole process that installs 1 GiB peaks at about 32 MiB.
//
// # What a crash leaves
//
// Before the first byte of the slot changes, a journal record binds the journal to the artifact, its head and the slot.
// Then, every Limits.Checkpoint bytes: fsync of the slot, then a record that so many leading frames are durable. A crash
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
// error that names the frame.
//
// # Files
//
// install.0 and install.1 in the journal's folder, a durable.Pair of JSON: {"schema":1,"slot":"b","artifact":"…",
// "head":"…","image":"…","frames":17}. A record that is unreadable or of another artifact or slot is no record.
//
// # Not promised
//
// The slot beyond the image's length is left as it is. A drive that answers reads from its own cache can hide what it
// lost until the power is gone; so VerifySlot is asked again before a slot is tried.
//
// Linux only.
package install
