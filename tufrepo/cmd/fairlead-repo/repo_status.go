package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo"
)

// cutRelease takes PRODUCT/VERSION apart.
func cutRelease(text string) (product, version string, ok bool) {
	product, version, ok = strings.Cut(text, "/")
	return product, version, ok && firmware.CheckProduct(product) == nil && firmware.CheckVersion(version) == nil
}

func statusCommand() *cli.Command {
	return serviceLeaf("status", "show what is published and what expires when", " ",
		`Examples:

  fairlead-repo status --repo /srv/fairlead
  fairlead-repo status --repo /srv/fairlead --warn-days 30 --json

For each role: how many keys must sign and have signed, whose signatures there are and whose
not, and the days until it expires.

Exit codes: 0 all is well; 6 metadata that people sign expires within --warn-days, or the
timestamp is long due to be renewed, or a publish was cut short.`,
		status, serviceRepoFlag(),
		&cli.IntFlag{Name: "warn-days", Aliases: []string{"warn"}, Usage: "`DAYS` before an expiry that count as soon", Value: 14})
}

// statusShown is what status prints.
type statusShown struct {
	tufrepo.Status
	Attention []string `json:"attention"` // what somebody has to see to
}

func status(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Int("warn-days") < 0 {
		return serviceUsage("--warn-days %d: give a number of days", c.Int("warn-days"))
	}
	repo, err := openRepo(c)
	if err != nil {
		return err
	}
	s, err := repo.Status()
	if err != nil {
		return err
	}
	shown := statusShown{s, attention(s, time.Now(), time.Duration(c.Int("warn-days"))*24*time.Hour)}
	if err := serviceShow(c, shown, func(w io.Writer) { writeStatus(w, shown) }); err != nil {
		return err
	}
	if len(shown.Attention) > 0 {
		return errExpiring
	}
	return nil
}

// attention says what somebody has to see to. Timestamp and snapshot always expire soon; they matter when nobody has
// renewed them when they were due.
func attention(s tufrepo.Status, now time.Time, warn time.Duration) []string {
	found := []string{}
	if !s.Published {
		return found
	}
	if !s.Settled {
		found = append(found, "the last publish of a root was cut short: publish it again, or run fairlead-repo renew")
	}
	for _, r := range s.Expiring(now.Add(warn)) {
		if r.Role != "timestamp" && r.Role != "snapshot" {
			found = append(found, fmt.Sprintf("%s %d expires on %s: sign and publish its next version", r.Role, r.Version, shortTime(r.Expires)))
		}
	}
	if late := now.Sub(s.RenewDue); late > s.RenewDue.Sub(s.Issued)/2 {
		found = append(found, fmt.Sprintf("the timestamp was due for renewal at %s: run fairlead-repo serve or renew", shortTime(s.RenewDue)))
	}
	return found
}

func writeStatus(w io.Writer, s statusShown) {
	if !s.Published {
		fmt.Fprintln(w, "nothing is published yet: publish a bundle with the first root and targets")
		return
	}
	row(w, "ROLE", "VERSION", "EXPIRES", "DAYS", "SIGNED", "BY", "NOT BY")
	for _, r := range s.Roles {
		row(w, r.Role, r.Version, shortTime(r.Expires), r.Days, fmt.Sprintf("%d of %d", len(r.Signed), r.Threshold), holderNames(r.Signed), holderNames(r.Missing))
	}
	fmt.Fprintln(w)
	row(w, "RELEASE", "COUNTER", "CHANNEL", "HARDWARE")
	for _, p := range s.Products {
		for _, r := range p.Releases {
			row(w, r.Product+" "+r.Version, r.Counter, r.Channel, strings.Join(r.Hardware, " "))
		}
	}
	fmt.Fprintf(w, "\ntimestamp made %s, to be renewed by %s\n", shortTime(s.Issued), shortTime(s.RenewDue))
	fmt.Fprintf(w, "%d blobs, %d bytes in all; %d files wait for gc\n", s.Files.Blobs, s.Files.Bytes, s.Files.Unreferenced)
	writeLogStatus(w, s.Log)
	for _, line := range s.Attention {
		fmt.Fprintf(w, "attention: %s\n", line)
	}
}

func writeLogStatus(w io.Writer, l *tufrepo.LogStatus) {
	if l == nil {
		return
	}
	made := "no checkpoint yet"
	if !l.Made.IsZero() {
		made = fmt.Sprintf("checkpoint made %s, %s ago", shortTime(l.Made), time.Since(l.Made).Truncate(time.Second))
	}
	fmt.Fprintf(w, "log %s has %d entries, %s\n", l.Origin, l.Size, made)
	switch {
	case l.Quorum == "":
		fmt.Fprintln(w, "no policy asks for proofs")
	case len(l.Witnesses) == 0:
		fmt.Fprintln(w, "the policy asks for no witness")
	}
	for _, one := range l.Witnesses {
		seen := "has not cosigned the newest checkpoint"
		if one.Seen {
			seen = "has cosigned the newest checkpoint"
		}
		fmt.Fprintf(w, "witness %s %s\n", one.Name, seen)
	}
	if l.Trouble != "" {
		fmt.Fprintf(w, "no release can be proved by this checkpoint: %s\n", l.Trouble)
	}
}

func holderNames(keys []tufrepo.KeyHolder) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}
