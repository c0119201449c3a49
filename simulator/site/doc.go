// Package site makes and runs a real service for a fleet: a repository with a root that people signed, products, releases, a tenant
// with a director, and the service itself in a process of its own, so that it can be killed, and its processor time and memory be
// told from the fleet's.
//
// # Who is who
//
// Keys are made when the site is made, and lie in the clear in <site>/people: it is nobody's but the simulator's.
//
//	alice, bob   root and targets, both needed
//	dora         the product's releases
//	carol        the root of the tenant's director
//
// # On disk
//
//	<site>/people/…        keys
//	<site>/repo            the repository; <site>/repo/state/service what the service keeps
//	<site>/bundles/…       what was signed
//	<site>/images/…        images that were made up, see [Image]
//	<site>/claim           the claim token of the fleet
//	<site>/service.log     what the service said
//
// # The process
//
// The service runs in a child of the same program: a main that uses this package calls [Child] first of all, which serves and
// never returns where the program was started as a child.
//
// With an exchange (package network) it runs in this process. Killed, it loses its connections at once and without a word; what it was
// storing at that moment it stores.
package site
