// Package scenario reads what is to happen to a fleet, and what is expected of it, from one YAML file. Reading is strict: a key that is
// not known, a number that cannot be, an event for a release that is not there, an expectation that no run could meet are
// refused before anything starts, with the line and the remedy.
//
// keys.yaml has every key with its meaning; it is what fairlead-sim show --keys prints.
//
// A scenario is carried out by package conduct.
package scenario
