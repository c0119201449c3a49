// Package conduct carries a scenario out: it makes a site, publishes what is to be there, powers a fleet on, lets happen what is to
// happen, takes samples, and judges.
//
// # Order
//
//	make        a site with its people, the images, the releases that no event publishes; the service; the tenant
//	cast        which unit is of which kind and has which fault, by the seed alone
//	come up     units are powered on at the ramp; up is when all have enrolled, and those with MQTT are connected
//	events      at their times since then
//	end         when every expectation that can be met by waiting is met and no update is under way; or after the
//	            scenario's time; or when ctx ends
//	judge       the fleet is powered off, and every unit's disk is looked at: which slot would boot, which release it
//	            says that is, and whether its bytes are those of that release
//
// # In several processes
//
// With Options.Processes the units are in children of the program, each of which has a part of them (fleet.Part); a main that uses that calls
// [Child] first of all. The run writes an order to a child's standard input, and then questions, one at a time; from its standard output it reads
// what units do, and the answers. Both are JSON, an object a line; see speech.go. A child whose input ends powers its units off and ends; one that
// ends otherwise ends the run with an error.
//
// # Who counts
//
// Clones do not count in any expectation but those of the kind "clone": nobody owes them an update.
package conduct
