// Package simulator is the room of QA: whole fleets through the real update path, on one machine, with faults, and a report that
// can be believed. It holds no code; its parts do.
//
// # The parts
//
//	fleet      units: the real agent, each with key, certificate, TUF state, bootloader, slots; power cuts, sick releases, clones
//	frames     what the slots of a fleet hold, in the room of a few images
//	network    the line between a unit and the service, below TLS
//	site       a real service with a real repository, keys and ceremony included, in a process of its own
//	scenario   what is to happen, and what is expected of it: one YAML file, read strictly
//	library    scenarios that are ready
//	conduct    a scenario carried out: events in time, faults by share, samples, the end, the verdict
//	virtual    the same in virtual time, in a child of the program
//	report     what a run was: HTML, JSON, CSV, comparison of two
//
// # What is real
//
// The agent and the service are those of fairlead-agent and fairlead-repo, and speak TLS to each other over TCP, unless a scenario says
// that they speak in memory, with TLS or without. Each unit downloads,
// verifies, writes, reads back, reboots, proves itself, commits. Releases are signed by people's keys up to their thresholds. A
// broker that is killed is a process that is killed.
//
// # What is played
//
// The machine around an agent (package fleet) and its line (package network). Slots share their bytes (package frames). Time is
// real, or virtual (package virtual).
//
// # What decides a run
//
// Expectations are judged by what units did and by what is on their disks at the end, read past all reports, and by what the service
// says of itself. Everything random comes from the seed: which unit has which fault, line and phase. The scheduling of
// goroutines does not, so that two runs of one seed in real time have the same faults and may differ in their times; in virtual time
// they do not.
package simulator
