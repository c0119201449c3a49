// Package crash cuts the power at every operation of the agent and of the publisher, and looks at what is left.
//
// # The log
//
// A Disk holds files, folders and the two slots in memory, and writes every operation on them into one log: writes, growth,
// new names, renames, removals, zeros, and the syncs between them. It is a durable.FS for the agent's files and the
// bootloader's, and gives each slot out as an install.Device, so that one order holds across all of them.
//
// # What a medium may hold
//
// An operation is pending until its own barrier: the bytes of a file until that file is synced, the names in a folder until
// the folder is, a slot until it is. When the power goes after operation k, all that is durable by then is there, and of
// what is pending any part: every subset where there are few, and of many none, all, each alone, each missing, and samples
// that a seed draws. A write that is there may be torn: cut off between two sectors, or the file grown and its bytes lost.
// A name may be there without the bytes of its file, and the other way round. That is more than an ext4 with a journal
// would do, and no more than a file system may.
//
// # What is asked
//
// On each of these media the device is started again: the model of the bootloader (boot.File), and the real agent. See
// Device for what must hold, before it starts and when it has come to rest. Its recovery is cut again in the same way.
//
// # How to repeat
//
// Everything is decided by the medium, a fixed clock and a seed. A failure names the scenario, the operation, which pending
// operations were kept and the tear; -crash.seed takes the seed.
package crash
