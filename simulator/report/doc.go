// Package report is what a run was, for people and for programs: [Run] is everything that is known of it, and its JSON is the format
// of report.json. [Run.WriteHTML] makes one page that needs nothing else to be looked at, [Run.WriteCSV] a table of what became of
// each unit, [Compare] sets two runs side by side.
//
// # Time
//
// All times of a run are seconds since its fleet was up, which is when events begin to count. What came before has negative times.
//
// # Percentiles
//
// Distributions are HDR histograms of three digits: a percentile is a value that a unit really had, within 0.1 percent.
//
// # Whose fault it was
//
// A simulator that is short of processors measures itself. Each [Sample] holds how much processor time fleet and service took, and how
// late the simulator woke up; [Run.Bottleneck] says in words when that was too much for the times to be believed.
package report
