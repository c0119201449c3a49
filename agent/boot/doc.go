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
// units and for systems whose init script picks the slot. [Env] speaks to a real bootloader through the variables of its
// environment: [OpenGRUB], [OpenUBoot]. docs/boot.md has the boot scripts that are the other half of it, and docs/formats.md
// the bytes.
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
// # Environments
//
// The state is five variables of one letter each: fl_committed, fl_trial, fl_tries, fl_a, fl_b. There are 22 values that
// they can have together, and a script takes anything else for a lost state. Each environment lies in two copies, and
// after each of the agent's steps both hold the same, so that neither can rot into an older state.
//
// A GRUB's env.0 and env.1 are blocks of 1024 bytes, each a file that is never moved: agent and GRUB write over its bytes in
// place. GRUB cannot compute a checksum, so fl_check repeats the five letters after them: of a block that is torn at any
// byte, either the letters or their repetition are not the new ones, or it is whole. All of it is within the first
// 512 bytes. GRUB goes by env.0, and by env.1 if env.0 is torn. The agent writes the one that does not hold, here env.1,
// flushes, reads back, then the other:
//
//	while env.1 is written     env.0 holds the old state
//	between the two            env.0 holds the old one
//	while env.0 is written     env.1 holds the new one
//
// A U-Boot's copies are in its redundant format, CRC-32 and a flag of one byte that is counted up, 0 after 255. The older
// copy is replaced first, flushed and read back; then the other. The script replaces the older one only.
//
// Neither bootloader flushes what it writes. A count of a trial that is lost with the power is one try more. Before the agent
// writes, it flushes what U-Boot may have left.
//
// Which slot runs is what the boot script put on the kernel's command line: fairlead.slot=a. It is believed over anything
// that the environment says.
//
// Bytes at the place of a U-Boot's environment that were never one of ours, and are not blank, are an error and not a lost
// state: the place is more likely wrong than both copies rotten, and the repair would write over somebody else's bytes.
//
// # Last resort
//
// An environment that says no state has slots started in turn, too, and keeps the last one in fl_last for that.
//
// Of a File: when both generations are unreadable, or gone from a folder that has been booted from, nobody knows which slot is
// committed. Boot then starts slot a, and if that did not lead to a repair, slot b at the next start, and so on in turn:
// it never refuses to start something, and it writes no state, because a guess on disk would look like knowledge.
// State reports Lost with the slot that runs; the agent, which by running has proved that slot, repairs by committing it.
//
// # Not promised
//
// File cannot tell whether a slot holds something that can be started; a bootloader that can should pass a committed
// slot it cannot load and start the other if that is bootable.
package boot
