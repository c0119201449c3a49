// Package fleet runs a fleet of base units on one machine. Each unit is the agent itself, package agent, with a key, a
// certificate, TUF state, two slots, a bootloader and a state folder of its own; nothing of the update path is imitated. What is
// played is the machine around the agent: its power supply, its bootloader's own half, its line, its clock, its medium, the
// health of what it boots, and the people in its room, who use it in its hours and answer what it asks.
//
// # A unit on disk
//
//	<fleet>/unit-007/
//	    agent.json      the configuration that fairlead-agent would read; with slots that are files, it may be run by hand
//	    slot-a.img      the factory image at first
//	    slot-b.img
//	    boot/           the file bootloader
//	    state/          the agent's: key, certificate, metadata, update, outbox
//	<fleet>/store/      with Config.Shared: what the slots hold; see package frames
//
// A fleet survives the end of the process: started again on the same folder, each unit goes on where it was, as after a
// power cut. With shared slots that is so as long as the machine itself keeps its power.
//
// # A power cut
//
// [Fleet.Cut] takes the power of a unit away between two system calls of its agent. From then on nothing that the agent does
// comes to anything: its connections are reset, its slot forgets what was not synced, neither its disk nor its bootloader take
// another word. When the agent has noticed and ended, the bootloader chooses a slot, and another agent begins.
//
// What the agent wrote to a file and did not flush is kept; only slots lose it.
//
// # What it tells
//
// [Fleet.Run] calls Observe with an [Event] for each power-on, each power cut and each transition of an update, from many
// goroutines, one call at a time.
package fleet
