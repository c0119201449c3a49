package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func rolloutWatchCommand() *cli.Command {
	return serviceLeaf("watch", "watch a rollout until it ends or pauses", "ID",
		`Examples:

  fairlead-repo rollout watch ID --repo REPO --tenant acme
  fairlead-repo rollout watch ID --repo REPO --tenant acme --json | tee progress.jsonl

On a terminal the picture is drawn again and again; elsewhere there is a line whenever
something has changed, with --json an object on a line. Exit code 0 when the rollout has
finished, 1 when it is paused, aborted or rolled back.`,
		rolloutWatch, rolloutFlags(&cli.DurationFlag{Name: "interval", Usage: "look every `TIME`", Value: time.Second})...)
}

var errNotFinished = errors.New("the rollout has not come to a good end")

func rolloutWatch(c *cli.Context) error {
	path, err := rolloutPath(c)
	if err != nil {
		return err
	}
	v := newView(c)
	tick := time.NewTicker(max(c.Duration("interval"), 50*time.Millisecond))
	defer tick.Stop()
	for {
		r, err := asked[api.Rollout](c, "GET", path, nil)
		if err != nil {
			return err
		}
		over := r.Finished != nil || r.Run == "paused"
		if err := v.show(r); err != nil {
			return err
		}
		if over {
			return badEnd(c, path, r)
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-tick.C:
		}
	}
}

// badEnd ends the watch with an error unless the rollout has finished.
func badEnd(c *cli.Context, path string, r api.Rollout) error {
	if r.Run == "finished" {
		return nil
	}
	failed, err := failures(c, path, r)
	if err == nil && len(failed) > 0 && !c.Bool("json") {
		w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w)
		deviceRows(w, failed)
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: it is %s: %s", errNotFinished, r.Run, r.Reason)
}

// view shows a rollout whenever it has changed.
type view struct {
	w        io.Writer
	json     bool
	terminal bool
	last     string
	lines    int // of the picture that is on the terminal
}

func newView(c *cli.Context) *view {
	f, ok := c.App.Writer.(*os.File)
	return &view{w: c.App.Writer, json: c.Bool("json"), terminal: ok && !c.Bool("json") && term.IsTerminal(int(f.Fd()))}
}

func (v *view) show(r api.Rollout) error {
	r.Plan = nil
	b, err := json.Marshal(r)
	if err != nil || string(b) == v.last {
		return err
	}
	v.last = string(b)
	switch {
	case v.json:
		_, err = fmt.Fprintf(v.w, "%s\n", b)
	case v.terminal:
		err = v.draw(r)
	default:
		_, err = fmt.Fprintln(v.w, lineOf(r))
	}
	return err
}

// lineOf is a rollout on one line.
func lineOf(r api.Rollout) string {
	good, size, failed := sums(r)
	line := fmt.Sprintf("%s  %d/%d done, %d failed, %d in flight", r.Run, good, size, failed, r.InFlight)
	for _, p := range r.Phases {
		if p.Name == r.Phase {
			line += fmt.Sprintf("  [%s: %s]", p.Name, phaseText(p))
		}
	}
	if r.Reason != "" {
		line += "  " + r.Reason
	}
	return line
}

// draw draws over the picture that is there.
func (v *view) draw(r api.Rollout) error {
	picture := pictureOf(r)
	again := ""
	if v.lines > 0 {
		again = fmt.Sprintf("\x1b[%dA\x1b[J", v.lines) // up, and clear what is below
	}
	v.lines = strings.Count(picture, "\n")
	_, err := io.WriteString(v.w, again+picture)
	return err
}

const barWidth = 30

func pictureOf(r api.Rollout) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "%s/%s  %s  %s\n", r.Product, r.Version, r.Run, r.Reason)
	for _, p := range r.Phases {
		mark := " "
		if p.Name == r.Phase {
			mark = ">"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%d/%d\t%s\n", mark, p.Name, bar(p), p.Good, p.Size, phaseText(p))
	}
	for _, why := range r.Reasons[:min(len(r.Reasons), 5)] {
		fmt.Fprintf(w, "  %d %s\t%s\t\t\n", why.Devices, why.State, why.Reason)
	}
	w.Flush() // into memory
	return b.String()
}

// bar has # for devices that are done, x for those that failed, = for those on the way.
func bar(p api.RolloutPhase) string {
	if p.Size == 0 {
		return strings.Repeat("-", barWidth)
	}
	part := func(n int) int { return min(n*barWidth/p.Size, barWidth) }
	good := part(p.Good)
	bad := min(part(p.States["failed"]+p.States["silent"]), barWidth-good)
	way := min(part(p.States["directed"]+p.States["updating"]+p.States["reverting"]), barWidth-good-bad)
	return strings.Repeat("#", good) + strings.Repeat("x", bad) + strings.Repeat("=", way) + strings.Repeat("-", barWidth-good-bad-way)
}
