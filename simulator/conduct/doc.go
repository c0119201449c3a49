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
// Clones do not count in any expectation but those of the kind "clone": nobody owes them an update.
package conduct
