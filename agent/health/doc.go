// Package health asks whether a system that was just started works.
//
// Two kinds of checks are asked, one after the other, under one deadline for all together: the agent's own
// ([Check], such as "the director is reached as before"), then the product's hooks. The first that says no ends the run:
// nothing that comes later could save the trial, and the way back should be short.
//
// A hook is an executable file in the hooks folder. Hooks run in the order of their names, started directly, never
// through a shell, in a process group of their own, in the folder "/", with no input, and with no environment but
//
//	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
//	FAIRLEAD_PRODUCT, FAIRLEAD_VERSION, FAIRLEAD_SLOT     what is on trial
//
// and what the caller adds. Exit code 0 means yes, all else no. The last 1 KiB of what a hook prints is kept for the
// report. When a hook ends, at the deadline, and when the caller cancels, its whole process group is killed, so that
// nothing of it stays behind.
//
// Hooks decide whether firmware is kept, and run with the agent's rights. A hook, or the hooks folder, that its group or
// others can write to, that belongs to somebody else than root or the agent's user, or that is not an executable regular
// file fails the run, with its name. Names that begin with a dot are passed over. A folder that does not exist has no
// hooks.
//
// Not promised: a hook that leaves its process group is not found and killed; the folder's parents are not looked at.
package health
