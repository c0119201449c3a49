package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func reportCommand() *cli.Command {
	tenant := &cli.StringFlag{Name: "tenant", Usage: "only of the tenant `NAME`"}
	most := &cli.IntFlag{Name: "limit", Usage: "at most `N`", Value: 1000}
	return serviceGroup("report", "what devices said of their updates, and what became of them",
		serviceLeaf("summary", "sum up the updates to each release: how many, how long, why not", " ",
			`Examples:

  fairlead-repo report summary --repo REPO
  fairlead-repo report summary --repo REPO --tenant acme --since 7d --json

Counts the updates that began since then. SUCCESS is of those that have ended. MEDIAN and
95% are the time from an update's begin to its commit, the reboot and the trial included.`,
			reportSummary, clientFlags(tenant,
				&cli.StringFlag{Name: "since", Usage: "a `TIME` like 2026-09-01T00:00:00Z, or how long ago, such as 24h or 7d", Value: "30d"})...),
		serviceLeaf("updates", "list updates and how they stand, the newest first", " ",
			`Examples:

  fairlead-repo report updates --repo REPO --latest
  fairlead-repo report updates --repo REPO --device ID --json`,
			reportUpdates, clientFlags(tenant,
				&cli.StringFlag{Name: "device", Usage: "only of the device `ID`"},
				&cli.BoolFlag{Name: "latest", Usage: "only the newest of each device"}, most)...),
		serviceLeaf("events", "list what a device said of its updates, the oldest first", "DEVICE",
			`Examples:

  fairlead-repo report events ID --repo REPO
  fairlead-repo report events ID --repo REPO --json

TIME is the device's own. Events are kept as long as the settings of the tenant say.`,
			reportEvents, clientFlags(most)...),
	)
}

func reportSummary(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	since, err := moment("since", c.String("since"), time.Now())
	if err != nil {
		return err
	}
	q := url.Values{"tenant": {c.String("tenant")}, "since": {since}}
	all, err := asked[api.Report](c, "GET", "/report?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "TENANT", "RELEASE", "UPDATES", "COMMITTED", "UNSUCCESSFUL", "SUCCESS", "MEDIAN", "95%", "BYTES EACH", "WHY NOT")
		for _, r := range all.Releases {
			row(w, cmp.Or(r.Tenant, "(all)"), r.Product+"/"+r.Version, r.Updates, r.Committed, r.Unsuccessful, success(r),
				shortMillis(r.MedianMillis), shortMillis(r.P95Millis), r.Fetched/r.Updates, whyNot(r))
		}
	})
}

// success is the share of updates that were committed, of those that ended.
func success(r api.ReleaseReport) string {
	ended := r.Committed + r.Unsuccessful
	if ended == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(r.Committed)/float64(ended))
}

func shortMillis(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.Duration(ms * int64(time.Millisecond)).Round(100 * time.Millisecond).String()
}

// whyNot names the reasons of what was not committed, the most frequent first.
func whyNot(r api.ReleaseReport) string {
	bad := slices.DeleteFunc(slices.Clone(r.Outcomes), func(o api.Outcomed) bool { return o.Reason == "" || o.State == string(wire.Committed) })
	slices.SortStableFunc(bad, func(a, b api.Outcomed) int { return cmp.Compare(b.Updates, a.Updates) })
	var words []string
	for _, o := range bad {
		words = append(words, fmt.Sprintf("%d %s", o.Updates, o.Reason))
	}
	return strings.Join(words, ", ")
}

func reportEvents(c *cli.Context) error {
	device, err := oneArgument(c, "device")
	if err != nil {
		return err
	}
	all, err := asked[api.Events](c, "GET", "/devices/"+url.PathEscape(device)+"/events?limit="+strconv.Itoa(c.Int("limit")), nil)
	if err != nil {
		return err
	}
	events := make([]wire.Event, len(all.Events))
	for i, b := range all.Events {
		if err := json.Unmarshal(b, &events[i]); err != nil {
			return fmt.Errorf("event %d of device %s: %w", i+1, device, err)
		}
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "TIME", "UPDATE", "TO", "STATE", "REASON", "BYTES", "DETAIL")
		for _, e := range events {
			row(w, e.Time.Format(time.RFC3339), e.Update, e.Product+"/"+e.To, e.State, e.Reason, e.Fetched, e.Detail)
		}
	})
}

func reportUpdates(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	q := url.Values{"tenant": {c.String("tenant")}, "device": {c.String("device")}, "limit": {strconv.Itoa(c.Int("limit"))}}
	if c.Bool("latest") {
		q.Set("latest", "1")
	}
	all, err := asked[api.Updates](c, "GET", "/updates?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "DEVICE", "SERIAL", "PRODUCT", "FROM", "TO", "STATE", "REASON", "BYTES", "SECONDS")
		for _, u := range all.Updates {
			row(w, u.Device, u.Serial, u.Product, u.From, u.To, state(u), u.Reason, u.Fetched, seconds(u))
		}
	})
}

// state is an update's state, with how far a running one has come.
func state(u api.Update) string {
	if u.Total <= 0 || wire.State(u.State).Final() {
		return u.State
	}
	return fmt.Sprintf("%s %d%%", u.State, 100*u.Done/u.Total)
}

func seconds(u api.Update) string {
	if u.Millis == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(u.Millis)/1000, 'f', 1, 64)
}
