// Package attack keeps the catalogue of what can go wrong and of what adversaries try, each with the tests that show what
// comes of it, and holds tests of its own at the border that users see: a real agent or client against a hostile
// repository, service, medium or thief.
//
// catalogue.txt has one entry for each fault and attack. A line that begins at the margin is an entry: its name, and what it
// is. The indented lines below it name what shows that it does no harm: a package and a test, with the subtest behind a
// slash; or, after "not ours:", why it cannot happen here. A test reads the file and the tree, so that nothing is named that
// is not there.
//
// The names of the entries: A to J are faults, T the attacks of the TUF specification, U those of Uptane, K known defects of
// TUF's clients and tools, S of those who verify signatures and logs, O of other update agents, N of the surroundings.
package attack
