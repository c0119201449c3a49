// Package faults lets single system calls of the real programs fail.
//
// strace stands between a program and the kernel. It lets one call of one kind fail with an error, or come back as if it had
// reached nothing, or kills the program before it; and a write to a slot come back as if it had written what it has not. Then the program is run again,
// and nothing fails any more: whatever the first run has left, and whatever it has said, must come to a good end.
//
// # What is asked after a fault
//
// Of a device: a slot that the bootloader would start holds a whole image of the repository; the committed slot was not
// written; the agent's word was true, if it said that all went well. Then the same commands, typed again, come to the newest
// release, committed. Of the publisher: a device with the first root sees what was published before, or what is published
// now, and nothing else; then the same command publishes it.
//
// strace counts calls by thread, and Go decides which thread makes them. So the nth call may be another one in the next run;
// each run says whether its fault happened, and only those are counted.
//
// # Limits
//
// The same programs are run with the memory that a small device has, on a disk that takes its time, by two at once, and with
// clocks that are wrong.
package faults
