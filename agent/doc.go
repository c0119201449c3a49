// Package agent is the device: it takes directions, installs what they ask for, proves that
// it works, and goes back if it does not.
//
// # Parties
//
// The director says what this device is to run; the image repository says what is genuine.
// Both are believed only through signed metadata (tufrepo/client), and only where they agree
// is anything installed: see decide, the whole policy. The service between them carries
// bytes, in both directions, and is believed in nothing (agent/link). The bootloader starts
// a slot, once on trial or for good (agent/boot). Health checks have the last word
// (agent/health). A person at the device may take the director's place (Install), not the
// image repository's; and where the director lets them, people at the device agree to an
// update or put it off (Answer).
//
// # States
//
//	idle -> downloading -> installing -> (staged ->) rebooting -> trying -> committed
//	             |              |           |            |           +----> rolled_back
//	             |              |           |            +-- failed, rolled_back; staged
//	             +--------------+-----------+-- rejected (the policy or the metadata says no), failed
//
// downloading covers the policy and the writing of frames into the slot that does not run;
// installing is the reading back of the whole slot; in staged the slot is whole and cannot be
// booted: the end of what was only to be downloaded, a wait for all else; trying is the first start of the new
// slot until the verdict. The last four are ends; the state stays there until a new update
// begins. An update has a name, the director's UUID: one that has ended is never begun
// again. What only time can heal (no network, expired metadata, a wrong clock) is tried
// again with growing waits, a bounded number of times in a row without a byte of progress.
// A new direction ends a download or a wait (failed, superseded); during a trial it waits.
// What is in the slot stays, so that another direction to the same release fetches nothing of
// it again.
//
// # Waits
//
// A direction says when its update may begin (state.waits). By trusted time:
//
//	window     from Until on no download begins, one under way stops, and the reboot is not
//	           asked for; if the bootloader was told already, its trial is cancelled
//	people     a soft direction is downloaded at once; the reboot waits for a yes, until
//	           DeferUntil at most
//	direction  a slot that waits is not tried on the word of a direction that has expired
//
// All of them are in the status and in what is reported, and end with a newer direction.
// From the reboot on nothing is waited for, or taken back.
//
// A question (direction.Ask) goes through the whole policy, and nobody is asked about what
// would be refused; nothing of the image is fetched. Answers are files that Answer leaves
// to the daemon: its event is in the outbox before the state has it, and the file goes last.
// A yes is to the release: it holds for another direction to it, as after a window that was
// too short, until the update ends or somebody else is asked for something else.
//
// # The cloud connection
//
// Two switches must both be on: the customer's, in the configuration, and the director's, in
// the state folder. An order to go offline is signed, and obeyed once: the switch is stored,
// the service hears a last report, the connection ends. It comes back only by Online, at the
// device. Switched off, an agent opens no socket and asks no name server.
//
// The certificate is renewed when two thirds of its life have passed, with the certificate
// and for the key that the device has; whom the device trusts does not change by that.
//
// # Files
//
// In the state folder, which must survive updates and belong to one agent:
//
//	agent.lock          held while an agent runs
//	state.0, state.1    where the update stands (firmware/durable, two copies)
//	record.0, record.1  the release counter below which nothing is installed, and what
//	                    each slot holds; saved twice, so that no copy has an older counter
//	outbox              events that the service has not acknowledged (agent/outbox)
//	image/, director/   metadata and its floors (tufrepo/client)
//	journal/            how far a slot is written (agent/install)
//	device.key          the device's key, P-256, mode 0600; or
//	device.tpm          the same in a TPM (package tpmkey)
//	identity.json       what the enrolment gave, in one file; replaced as a whole by a renewal
//	answer.json         an answer that the daemon has not taken up
//	cloud.0, cloud.1    the director's switch of the cloud connection
//
// # Order of writes
//
// Every transition is: the state, durably, and in it the place in the outbox where the
// event goes; then the event; then the act. A start compares that place with the outbox, so
// each transition is reported once, whatever was cut off between the two. In order, and what
// a crash after it leaves:
//
//	state: downloading            the download begins, or is resumed
//	state names slot and release  the same
//	record forgets the slot       nobody counts on it
//	boot: Forbid                  the slot is not bootable, whatever it holds
//	frames, journal               install resumes at the last durable frame
//	state: installing             read back again
//	record: what the slot holds   read back again
//	state: staged                 it waits; or it is the end, where nothing more is asked for
//	state: rebooting              read back again, then Try
//	boot: Try                     the next start is the trial, whether noted or not
//	state: told, reboot asked     the same; asked for again if it does not come
//	-- reboot: the bootloader takes a try, durably --
//	state: trying                 a restart of the agent asks the checks again; a power
//	                              cut is a start less: without one left, the old slot runs
//	boot: Commit                  the update has succeeded; the rest is made up at the start
//	record: counter raised        the same
//	state: committed              done
//
// where the window closes before the reboot
//
//	state: staged                 a start of the system now would still be the trial
//	boot: Cancel                  it waits
//
// and where the checks say no
//
//	state: trying, with reason    the way back goes on
//	boot: Cancel                  the next start is the old slot
//	-- reboot --
//	record forgets the slot
//	state: rolled_back            done
//
// Metadata has no part in anything after "rebooting": neither an expiry nor a dead network
// holds up the commit or the way back. (The network has one as a health check: a service
// that was reached before the update must be reached after it.)
//
// # What a start does
//
// reconcile compares what is remembered with what the bootloader says, in every combination.
// S is the slot that the update writes, F the other one.
//
//	remembered   runs  committed  trial     step
//	nothing      x     x          -         stay
//	             x     other      x         adopt: the state was lost in a trial; the record knows it
//	             x     x          other     cancel a trial that nobody asked for
//	             x     other      -         hold: picked by hand
//	             x     unknown              repair: commit what runs
//	downloading, F     F          -         resume
//	installing   F     F          S         cancel, then resume
//	             F     unknown              repair, then resume
//	             S     S                    overrun: somebody else committed it; failed
//	             S     F, unknown           hold: it was never verified
//	staged       F     F          -         await; stay where it is the end
//	             F     F          S         cancel, then the same
//	             F     unknown              repair, then the same
//	             S     F          S         probe: it was started all the same
//	             S     S                    settle: somebody committed it
//	             S     unknown              probe
//	             S     F          -         hold: picked by hand
//	             F     S                    hold: picked by hand
//	rebooting    F     F          -         not told: read back, tell; told: fell back
//	             F     F          S, left   reboot; after three times failed
//	             F     F          S, none   fell back
//	             S     F          S         probe: the trial begins
//	             S     F          -         retreat: the trial was taken away
//	             S     unknown              probe
//	trying       S     F          S         probe; with a verdict against it: retreat
//	             S     F          -         retreat
//	             S     unknown              probe; with a verdict: retreat
//	             F     F, unknown           fell back
//	rebooting,   S     S                    settle: finish the commit
//	trying       F     S                    hold: picked by hand
//	any          neither                    hold: a rescue system
//
// hold touches nothing and says so; a reboot or fairlead-agent commit ends it. Steps per
// start are bounded, so are reboots asked for one purpose (3) and starts of the agent within
// one trial (5).
//
// # Not promised
//
// A release whose kernel starts and whose agent never does is given up at the next power
// cycle, not before: a hardware watchdog in the image makes that happen by itself. A medium
// that lies about fsync may have a transition reported twice. An answer may be reported twice.
// A certificate that has expired is not renewed: the device enrols anew with a new claim.
package agent
