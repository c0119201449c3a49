// Package qemu boots a disk with two slots in an emulated PC: SeaBIOS, GRUB with the scripts of docs/boot.md, Debian's kernel, the
// real agent out of the slot, and over an emulated network card the real service beside the test. The agent takes what it is
// directed to by MQTT, installs, reboots, proves and commits.
//
// # The disk
//
//	p1  1 MiB   ext2, the environment blocks fairlead/env.0 and env.1
//	p2  32 MiB  slot a: ext4 with vmlinuz, initrd.gz (package testinit and drivers) and the agent
//	p3  32 MiB  slot b
//	p4  16 MiB  ext4 with its journal and a second superblock: configuration and state of the agent
//
// QEMU reaches it by NBD, and this process is the server: it sees every write and flush, keeps a log of them, and can cut the power
// at any write, before it or in the middle of it. What was written and not flushed may then be there, or not.
//
// # Cuts
//
// One update is recorded, from the direction to the commit. Each write of it is cut: the disk is made anew as the writes before
// it left it, once without that write and once with the first half of its bytes, and started again.
// The service goes on as it is: it is asked by a device that has lost its memory.
//
// Asked of each disk before it starts: slots that the bootloader may start are whole. And of each start: the device comes to the new
// release by itself, committed, connected, and nobody wrote to the slot of the old one.
//
// # Watchdog
//
// The boot script starts the machine's watchdog, an Intel 6300ESB, before the kernel. It is fed for as long as the agent says to its
// supervisor that it lives.
package qemu
