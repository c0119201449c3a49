package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/wire"
)

func commands() []command {
	return []command{
		{name: "run", usage: "be the daemon: take directions, install, prove, commit or go back", run: runDaemon},
		{name: "install", usage: "install a release by hand from a packed repository, its folder or its https address",
			arguments: []string{"SOURCE"}, flags: installFlags, run: installRelease},
		{name: "check", usage: "ask the director and the repository what there is to install", run: check},
		{name: "status", usage: "show the update, the versions and the slots", run: status},
		{name: "answer", usage: "answer for the people at the device whether an update may begin: see status",
			arguments: []string{"yes|later|no", "[DURATION]"}, run: answer},
		{name: "commit", usage: "keep the release on trial without waiting for its checks", run: commit},
		{name: "rollback", usage: "give up what is under way", flags: rebootFlag, run: rollback},
		{name: "show-slots", usage: "show the boot slots", run: showSlots},
		{name: "whoami", usage: "show the identity of this device", run: whoami},
		{name: "enroll", usage: "get an identity from the service with a claim token, a claim code, or by its list", flags: claimFlag, run: enroll},
		{name: "online", usage: "let the cloud connection be again that the director has switched off", run: online},
		{name: "boot", usage: "play the bootloader of type file: choose the slot to start, and print it", run: playBoot},
	}
}

func installFlags(set *flag.FlagSet, c *call) {
	set.StringVar(&c.release, "release", "", "`version` to install; else the one with the highest counter that fits")
	set.BoolVar(&c.progress, "progress", false, "show progress even if stderr is no terminal; with --json as a line of JSON each second")
	set.Int64Var(&c.rate, "rate", -1, "`bytes` a second to fetch at most, 0 for no limit; else what the configuration says")
	rebootFlag(set, c)
}

func rebootFlag(set *flag.FlagSet, c *call) {
	set.BoolVar(&c.reboot, "reboot", false, "reboot if that is what it takes")
}

func claimFlag(set *flag.FlagSet, c *call) {
	set.StringVar(&c.claimFile, "claim-file", "", "`file` with the claim token; else the one of the configuration")
	set.StringVar(&c.code, "code", "", "claim `code`, as it was read out: 7K3M-9QXA-T")
	set.StringVar(&c.list, "list", "", "`tenant` on whose list serial and MAC of this device stand")
}

func runDaemon(c *call, a *agent.Agent) error {
	err := a.Run(c)
	if c.reboots && errors.Is(err, agent.ErrReboot) {
		return nil // the system goes down, and this process with it
	}
	return err
}

func installRelease(c *call, a *agent.Agent) error {
	o, err := a.Install(c, c.args[0], c.release)
	if o.Update != "" {
		printOutcome(c, o)
	}
	return rebootIf(c, a, err)
}

func commit(c *call, a *agent.Agent) error {
	o, err := a.Commit()
	printOutcome(c, o)
	return err
}

func rollback(c *call, a *agent.Agent) error {
	o, err := a.Rollback()
	printOutcome(c, o)
	return rebootIf(c, a, err)
}

// rebootIf reboots if the user asked for it; else the caller knows by the exit code.
func rebootIf(c *call, a *agent.Agent, err error) error {
	if !c.reboot || !errors.Is(err, agent.ErrReboot) {
		return err
	}
	if !c.reboots {
		return fmt.Errorf("%w: the configuration names no command for it, key \"reboot\"", err)
	}
	return a.Reboot(c)
}

func check(c *call, a *agent.Agent) error {
	o, err := a.Check(c)
	if o.Direction > 0 || errors.Is(err, agent.ErrNothing) {
		printOffer(c, o, err)
	}
	return err
}

func status(c *call, a *agent.Agent) error {
	s, err := a.Status()
	if err == nil {
		printStatus(c, s)
	}
	return err
}

// answer tells the daemon what people said; DURATION goes with later and nothing else.
func answer(c *call, a *agent.Agent) error {
	say, later := wire.Say(c.args[0]), time.Duration(0)
	if known := say == wire.Yes || say == wire.Later || say == wire.No; !known || (say == wire.Later) != (len(c.args) == 2) {
		return fmt.Errorf("%w: want answer yes, answer no, or answer later 8h", errUsage)
	}
	if say == wire.Later {
		var err error
		if later, err = time.ParseDuration(c.args[1]); err != nil || later <= 0 {
			return fmt.Errorf("%w: %q is not how long, such as 8h or 30m", errUsage, c.args[1])
		}
	}
	q, err := a.Answer(say, later)
	if err != nil {
		return err
	}
	printQuestion(c, q)
	return nil
}

func online(_ *call, a *agent.Agent) error { return a.Online() }

func showSlots(c *call, a *agent.Agent) error {
	s, err := a.Slots()
	if err == nil {
		printSlots(c, s)
	}
	return err
}

func whoami(c *call, a *agent.Agent) error {
	id, err := a.Identity()
	if err == nil {
		printIdentity(c, id)
	}
	return err
}

func enroll(c *call, a *agent.Agent) error {
	claim, err := claimOf(c, a)
	if err != nil {
		return err
	}
	id, err := a.Enroll(c, claim)
	if id.Device != "" {
		printIdentity(c, id)
	}
	return err
}

// claimOf is the claim that was named in one of the three ways.
func claimOf(c *call, a *agent.Agent) (string, error) {
	switch {
	case c.code == "" && c.list == "":
		return a.ReadClaim(c.claimFile)
	case c.code != "" && c.list == "" && c.claimFile == "":
		return c.code, nil
	case c.list != "" && c.code == "" && c.claimFile == "":
		return "list:" + c.list, nil
	}
	return "", fmt.Errorf("%w: want one of --claim-file, --code and --list", errUsage)
}

func playBoot(c *call, a *agent.Agent) error {
	slot, err := a.Play()
	if slot != "" {
		printSlot(c, slot)
	}
	return err
}
