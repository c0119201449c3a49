// Package boot is what the agent says to a bootloader, and hears from it.
//
// # Parties
//
// A device has two slots, a and b. One is committed: the bootloader starts it whenever nothing else was asked for, and
// it carries no counter, so that no number of power cuts can drive a device off a system that works. The other is free
// for the next image. The agent asks for a trial of it ([Bootloader.Try]); the bootloader takes one from the tries left,
// durably, before each start of the trial, and when none is left goes back to the committed slot by itself. The agent
// ends a trial that went well with [Bootloader.Commit].
//
// [Bootloader] is the agent's half, the same for every kind of bootloader; boot/boottest holds the suite that each kind
// must pass. [File] keeps the state in a folder and also plays the bootloader's own half ([File.Boot]), for simulated
// units and for systems whose init script picks the slot.
//
// # Files of File
//
//	boot.0, boot.1   the state, in two generations (package firmware/durable); the older is replaced, then read back
//	running          one line, "<slot> <why>\n": what Boot started last and why (committed, trial, last-resort);
//	                 it stands for the kernel's command line
//
// The state is JSON: {"schema":1,"committed":"a","trial":"b","tries":1,"a":{"bootable":true},"b":{"bootable":true}}.
// Members that this version does not know are ignored, so that an older agent can read what a newer one left.
//
// # Last resort
//
// When both generations are unreadable, or gone from a folder that has been booted from, nobody knows which slot is
// committed. Boot then starts slot a, and if that did not lead to a repair, slot b at the next start, and so on in turn:
// it never refuses to start something, and it writes no state, because a guess on disk would look like knowledge.
// State reports Lost with the slot that runs; the agent, which by running has proved that slot, repairs by committing it.
//
// # Not promised
//
// File cannot tell whether a slot holds something that can be started; a bootloader that can should pass a committed
// slot it cannot load and start the other if that is bootable.
package boot
