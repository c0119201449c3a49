// Package virtual carries a scenario out in virtual time: the same agents, the same service, the same repository, and a clock that stands
// still while anybody has something to do, and is at once where somebody is waited for when nobody has. A month passes in minutes.
//
// # How
//
// The run is a bubble of testing/synctest, in a child of the same program: a bubble wants a *testing.T, which only package testing gives, and
// ends its process. A main that uses this package calls [Child] first of all. Everything of the run is within the bubble: connections are those of
// network.Exchange, the service is in the process, files are plain system calls.
//
// # The same again
//
// Equal seeds give equal results, byte for byte: report.json and units.csv hold nothing of the machine, its clock or its load. What makes it so:
//
//	time       moves only when all have done what was to be done, so that what happens at different moments cannot change places
//	moments    every wait of a unit is drawn from its own dice, so that no two have the same
//	dice       of units from the seed and the unit's number; of crypto/rand from the seed
//	names      of devices, which decide on the order of a rollout, from the seed, in the order in which the units enrol
//	processor  one, so that the order within a moment does not depend on which core is faster
//
// # Between parent and child
//
// The order goes over in the environment, in JSON. What comes back, on descriptor 3, is a JSON object a line: {"say": …}, {"sample": …}, at the
// end {"run": …} or {"error": …}, or both. A child whose parent is gone is killed; one that is to end early is told by the closing of its standard input.
package virtual
