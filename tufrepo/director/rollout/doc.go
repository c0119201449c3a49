// Package rollout decides which device of a rollout is directed when: from a plan, from what
// devices report, and from the time. It is a pure engine. It reads no clock, starts nothing,
// writes nothing, and answers the same to the same.
//
// # Use
//
// The caller makes a [Rollout] with [New] or [Restore], tells it events with
// [Rollout.Apply], and carries out what [Rollout.Step] answers. Apply changes the mind of
// the engine and nothing else; Step says what follows, and when to ask again at the latest.
// [Rollout.Changes] gives what has to be stored. A step costs as much as there is to do,
// not as much as there are devices; only New, Restore, Retry of everybody and the turn to a
// roll-back look at all of them. One device takes about 200 bytes of memory, and its name.
//
// # What is stored, and in which order
//
// The caller keeps the [Setup] for ever, one [Head] per rollout, and one [Row] per device.
// A turn is one transaction:
//
//  1. read the reports that no turn has had, and Apply them, in any order
//  2. Step
//  3. write what Changes returns
//  4. for each action that names a device, write its signed direction and its update:
//     OpDirect and OpRollBack a direction with the release, OpAsk a question, OpWithdraw
//     the direction "nothing"; note that the reports were had
//  5. commit
//  6. send the directions, tell people
//
// The turns of one rollout never overlap, whoever takes them. What a crash leaves:
//
//	before 5   nothing was stored and nobody was told. The next Restore and Step decide
//	           the same for the same time, with the same names of updates.
//	at 5, and  the engine in memory may be ahead of the database: throw it away, Restore.
//	unclear    Whichever happened, nobody was told yet.
//	after 5    what was to be sent lies in the database as each device's newest direction,
//	           and reaches it when it connects or asks. Sending twice changes nothing.
//
// Between two Applies, or between Apply and Step, Changes may be stored as well: what Step
// still has to answer for stands in the rows. Reports may be applied again after a crash:
// every event may come twice, late, or in another order.
//
// # Devices
//
//	Waiting -> Directed -> Updating -> Committed     end, as are Staged and Already
//	   |          |           +------> Failed        end: Retry
//	   |          +-----------+------> Silent        end: Retry, Seen, or its own next step
//	   +-> Asked -> Agreed -> Directed               Soft with ask
//	         |        |          |
//	         +--------+----------+---> Deferred      back to Waiting, or forced, or Declined
//
// The order within a phase is a hash of the names of rollout and device. It never changes,
// also for a device that joins late, and differs from rollout to rollout. A device is
// Committed when it says so itself: by a report of its update, or by its release counter,
// which rises with its own commit.
//
// A device in Asked, Agreed, Directed, Updating or Reverting is held: see [State.Holds]. It
// is in one rollout at a time if the caller, in the same transaction, gives [Taken] to its
// other rollouts that have the device when a row becomes held, and [Freed] when it no longer
// is. A unique index over the held rows makes sure of it.
//
// Every attempt has an update name of its own, made from the names and the number of the
// attempt; a device that has ended one never begins it again. What is said of an update that
// is not the device's newest is ignored, but for a commit.
//
// # When a direction is taken back
//
// Its window ends: the device waits for the next one. A download goes on there where it
// stopped. The rollout is paused: whoever has not reported a step yet waits. It is aborted or
// turned back: whoever has not come to the reboot. The device has failed or fallen silent, so
// that it does not begin again at an odd time. The people put it off. From the reboot on
// nothing is taken back: it would not arrive, and the trial has to end one way or the other;
// a report that shows that it came too late is believed.
//
// # Silence
//
// A device that was directed and takes no step for Spec.SilentAfter is Silent and counts as
// failed; so a threshold is also passed by devices that a release has killed. A night that
// passes without an answer does not start its clock anew. One that is seen again tries again,
// three times at most, and counts as failed until it commits.
//
// # The brake
//
// For each phase, of the devices that have ended, Failed and Silent ones are counted after
// every single change; see [Brake]. The least sample is never more than the phase has. A
// phase that can no longer reach its share of successes pauses the rollout as well. After a
// pause by itself Resume forgives: failures count from there. With Spec.RollBack the rollout
// turns instead: what is under way is taken back, and all devices that it had updated
// are directed to Setup.Fallback, under the same windows and limits. There is no brake then,
// and no way forward again.
//
// # Limits
//
// InFlight counts Directed, Updating and Reverting devices. No direction is given while
// there are that many; a device that shows up in a trial that was thought over may make it
// one more. PerMinute holds for any 60 seconds. Questions count for neither. A direction
// leaves within its device's window, and Action.Until says when that ends; the device must
// see to it that it does not begin later.
//
// # Windows and clocks
//
// A window is open while the clock on the wall at the device shows a time in it. Where a
// spring night leaves out the hour, a window within it does not open that day; where an
// autumn night has the hour twice, the window is open twice. A day is the one on which the
// window begins.
//
// Times are whole seconds. The clock of the caller may jump: forwards, devices fall silent
// early, which at worst pauses; backwards, nothing is undone, and deadlines stay where they
// were set.
package rollout
