// Package simulator runs a fleet of base units on one machine. Each unit is the agent itself, package agent, with a key,
// a certificate, two slots, a bootloader and a state folder of its own; nothing of the update path is imitated. What is
// played is the machine around the agent: its power switch, its bootloader's own half, and a sickness that a release may
// bring.
//
// # A unit on disk
//
//	<fleet>/unit-007/
//	    agent.json      the configuration that fairlead-agent would read; it may be run on this folder by hand
//	    slot-a.img      the factory image at first
//	    slot-b.img
//	    boot/           the file bootloader
//	    state/          the agent's: key, certificate, metadata, update, outbox
//	    health.d/       hooks; a unit that is to refuse a release has one that does
//
// A fleet survives the end of the process: started again on the same folder, each unit goes on where it was, as after a
// power cut.
//
// # What it tells
//
// [Fleet.Run] calls Observe with an [Event] for each power-on and each transition of an update, from many goroutines, one
// call at a time.
package simulator
