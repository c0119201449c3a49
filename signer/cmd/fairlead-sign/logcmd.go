package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/tufrepo/tlog/logread"
	"github.com/fairlead/fairlead/tufrepo/tlog/monitor"
)

// errUnannounced makes monitor exit with its own code; the entries stand in its output.
var errUnannounced = errors.New("the log has entries that nobody announced: see above")

func logPolicyCommand() *cli.Command {
	return command("log-policy", "draft a targets file that names a log policy: which log and witnesses devices believe", "[FILE]",
		`The targets keys sign it. FILE is a policy (C2SP tlog-policy); fairlead-repo log init makes the
first. Into the bundle of the first root, or as a bundle of its own:

  fairlead-sign log-policy policy.txt --bundle first
  fairlead-sign log-policy policy.txt --repo REPO --out witnesses

Once devices have seen a policy they ask for proofs until a newer one says that none is needed:

  fairlead-sign log-policy --no-log --repo REPO --out farewell`,
		append(baseFlags(), clockFlag(), outFlag(), expiresFlag(), jsonFlag(),
			&cli.StringFlag{Name: "bundle", Usage: "change a bundle that is not published yet, in place unless --out is given"},
			&cli.BoolFlag{Name: "no-log", Usage: "releases need no proof any more"}),
		logPolicy)
}

func logPolicy(c *cli.Context) error {
	policy, err := policyArgument(c)
	if err != nil {
		return err
	}
	o, err := draftOptions(c)
	if err != nil {
		return err
	}
	draft, err := signer.SetLogPolicy(c.Context, o, policy)
	if err != nil {
		return err
	}
	return showDraft(c, draft)
}

func policyArgument(c *cli.Context) ([]byte, error) {
	if c.Bool("no-log") {
		_, err := arguments(c)
		return []byte(signer.NoLog), err
	}
	args, err := arguments(c, "FILE")
	if err != nil {
		return nil, err
	}
	policy, raw, err := signer.ReadLogPolicy(args[0])
	if err == nil && !policy.Required() {
		err = usage("the policy names no log: with it releases would need no proof; say --no-log if that is meant")
	}
	return raw, err
}

func monitorCommand() *cli.Command {
	return command("monitor", "follow a log: is it one log, and has every entry been announced", "URL|FOLDER",
		`Run it from a timer, on a machine that is not the repository's:

  fairlead-sign monitor https://fw.example.com/log --policy policy.txt --state ./log-seen \
      --announced ./bundles --proofs ./proofs-from-devices

It reads every entry since the last time, and checks that they continue what it has seen.
--announced names bundles, or folders of them, that engineers keep: an entry whose manifest is
not there is shown, and shown again each time until it is. --proofs names proofs that devices
were given, or folders of them: they must belong to the same log.

Exit codes: 0 all is well; 1 the log cannot be read, and nothing is known; 6 there are entries
that nobody announced: somebody who could sign for the log has put a release in, so find out
who, and revoke the keys of the product if they were stolen; 7 the log shows two faces: its key
was stolen, or an old copy was put in place; the evidence is kept in the state folder.`,
		[]cli.Flag{jsonFlag(),
			&cli.StringFlag{Name: "policy", Usage: "`FILE` with the log's key and the witnesses"},
			&cli.StringFlag{Name: "state", Usage: "`FOLDER` for what was seen; one for each log"},
			&cli.StringSliceFlag{Name: "announced", Usage: "`PATH` of bundles that were announced; again for more; without it every entry counts as announced"},
			&cli.StringSliceFlag{Name: "proofs", Usage: "`PATH` of proofs that devices were given; again for more"},
		}, runMonitor)
}

func runMonitor(c *cli.Context) error {
	args, err := arguments(c, "URL|FOLDER")
	if err != nil {
		return err
	}
	if err := required(c, "policy", "state"); err != nil {
		return err
	}
	config := monitor.Config{Dir: c.String("state")}
	if config.Policy, _, err = signer.ReadLogPolicy(c.String("policy")); err != nil {
		return err
	}
	if config.Log, err = openLog(args[0]); err != nil {
		return err
	}
	if paths := c.StringSlice("announced"); len(paths) > 0 {
		if config.Announced, _, err = monitor.Announced(paths...); err != nil {
			return err
		}
	}
	if config.Seen, err = monitor.Proofs(c.StringSlice("proofs")...); err != nil {
		return err
	}
	report, err := monitor.Run(c.Context, config)
	if err != nil {
		return err
	}
	if err := show(c, report, func(w io.Writer) error { return writeReport(w, report) }); err != nil {
		return err
	}
	if len(report.Unannounced) > 0 {
		return errUnannounced
	}
	return nil
}

func openLog(where string) (logread.Reader, error) {
	if !strings.Contains(where, "://") {
		root, err := os.OpenRoot(where)
		if err != nil {
			return logread.Reader{}, fmt.Errorf("opening the log: %w", err)
		}
		return logread.Folder(root.FS()), nil // closed with the last reference
	}
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return logread.Reader{}, usage("%q is not an address", where)
	}
	return logread.HTTP(u, &http.Client{Timeout: time.Minute}), nil
}

func writeReport(w io.Writer, r monitor.Report) error {
	fmt.Fprintf(w, "log %s has %d entries, %d of them new\n", r.Origin, r.Size, r.Size-r.Before)
	seen := "cosigned by " + strings.Join(r.Cosigned, ", ")
	if len(r.Cosigned) == 0 {
		seen = "no witness of the policy has cosigned it"
	}
	if !r.Quorum {
		seen += "; that is not enough: look again in a minute, and ask the publisher if it stays so"
	}
	fmt.Fprintln(w, seen)
	if r.Compared > 0 {
		fmt.Fprintf(w, "%d checkpoints that others were shown belong to it\n", r.Compared)
	}
	for _, e := range r.Unannounced {
		text := e.Text
		if l := e.Release; l != nil {
			text = fmt.Sprintf("%s %s, counter %d, manifest SHA-256 %s", l.Product, l.Version, l.Counter, l.SHA256)
		}
		fmt.Fprintf(w, "NOT ANNOUNCED entry %d: %s\n", e.Index, text)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "NOT ANNOUNCED %d more\n", r.More)
	}
	return nil
}
