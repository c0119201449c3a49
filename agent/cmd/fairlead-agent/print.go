package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/wire"
)

// show prints v as JSON or by plain.
func show(c *call, v any, plain func(io.Writer)) {
	if c.json {
		e := json.NewEncoder(c.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		_ = e.Encode(v) // to a pipe that is gone nobody listens
		return
	}
	t := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	plain(t)
	_ = t.Flush()
}

// line prints a name and a value, unless the value says nothing.
func line(w io.Writer, name string, value any) {
	switch text := fmt.Sprint(value); text {
	case "", "0":
	default:
		fmt.Fprintf(w, "%s\t%s\n", name, text)
	}
}

func outcomeLines(w io.Writer, o agent.Outcome) {
	line(w, "state", o.State)
	if o.To != "" {
		line(w, "update", strings.TrimSpace(o.From+" -> "+o.To))
	}
	line(w, "reason", o.Reason)
	line(w, "detail", o.Detail)
	line(w, "fetched", sizeOf(o.Fetched))
	line(w, "written", sizeOf(o.Written))
	line(w, "unchanged", sizeOf(o.Unchanged))
	line(w, "patched", sizeOf(o.Patched))
}

func printOutcome(c *call, o agent.Outcome) {
	show(c, o, func(w io.Writer) { outcomeLines(w, o) })
}

func printOffer(c *call, o agent.Offer, err error) {
	show(c, o, func(w io.Writer) {
		offer := o.Release
		switch {
		case o.Direction == 0:
			offer = "nothing was ever directed to this device"
		case o.Release == "":
			offer = "nothing"
		case o.Ended:
			offer += ", which was tried already"
		case errors.Is(err, agent.ErrNothing):
			offer += ", which runs"
		}
		line(w, "running", o.Running)
		line(w, "offered", offer)
		line(w, "counter", o.Counter)
		line(w, "kind", o.Kind)
		line(w, "direction", o.Direction)
		line(w, "until", moment(o.Expires))
	})
}

func printStatus(c *call, s agent.Status) {
	show(c, s, func(w io.Writer) {
		line(w, "product", s.Product+" on "+s.Hardware)
		line(w, "version", s.Version)
		line(w, "release counter", s.Floor)
		line(w, "device", s.Device)
		line(w, "agent", agentLine(s))
		outcomeLines(w, s.Outcome)
		line(w, "since", moment(s.Since))
		if s.Wait != nil {
			line(w, "waits", waitLine(*s.Wait))
		}
		if s.Question != nil {
			questionLines(w, *s.Question)
		}
		if s.Trouble != nil {
			line(w, "trouble", fmt.Sprintf("%s (%s, since %s)", s.Trouble.Text, s.Trouble.Reason, moment(s.Trouble.Since)))
		}
		line(w, "events to report", s.Outbox)
		fmt.Fprintln(w)
		slotLines(w, s.Slots)
	})
}

func waitLine(w wire.Wait) string {
	text := map[string]string{
		wire.WaitPeople: "for the people at this device: fairlead-agent answer yes, later 8h, or no", wire.WaitWindow: "for its next window",
		wire.WaitDirection: "for a newer direction: this one has expired",
	}[w.For]
	if !w.Until.IsZero() {
		text += ", until " + moment(w.Until)
	}
	return text
}

func questionLines(w io.Writer, q agent.Question) {
	line(w, "question", fmt.Sprintf("may %s %s be installed in place of %s?", q.Product, q.To, q.From))
	for i, text := range strings.Split(strings.TrimSpace(q.Notes), "\n") {
		line(w, map[bool]string{true: "notes"}[i == 0], text)
	}
	line(w, "deadline", moment(q.Deadline))
	switch {
	case q.Say == wire.Later:
		line(w, "answered", "later, "+moment(q.Until))
	default:
		line(w, "answered", q.Say)
	}
}

func printQuestion(c *call, q agent.Question) {
	show(c, q, func(w io.Writer) { questionLines(w, q) })
}

func agentLine(s agent.Status) string {
	words := []string{s.Agent, "not running"}
	if s.Running {
		words[1] = "running"
	}
	switch {
	case s.Offline:
		words = append(words, "cloud connection switched off by the director: fairlead-agent online switches it on")
	case !s.Enabled:
		words = append(words, "cloud connection switched off")
	}
	return strings.Join(words, ", ")
}

func printSlots(c *call, slots []agent.SlotInfo) {
	show(c, slots, func(w io.Writer) { slotLines(w, slots) })
}

func slotLines(w io.Writer, slots []agent.SlotInfo) {
	fmt.Fprintln(w, "SLOT\tVERSION\tCOUNTER\tSTATE\tCAPACITY\tPATH")
	for _, s := range slots {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", s.Slot, dash(s.Version), s.Counter, slotWords(s), dash(sizeOf(s.Capacity)), s.Path)
		if s.Problem != "" {
			fmt.Fprintf(w, "\t%s\n", s.Problem)
		}
	}
}

func slotWords(s agent.SlotInfo) string {
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{
		{s.Running, "running"}, {s.Committed, "committed"}, {s.Trial, "trial"},
		{s.Failed, "failed"}, {!s.Bootable && !s.Failed, "not bootable"},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return dash(strings.Join(words, ","))
}

func printIdentity(c *call, id agent.Identity) {
	show(c, id, func(w io.Writer) {
		line(w, "device", id.Device)
		line(w, "tenant", id.Tenant)
		line(w, "service", id.Service)
		line(w, "product", id.Product+" on "+id.Hardware)
		line(w, "serial", id.Serial)
		line(w, "mac", id.MAC)
		line(w, "key", id.Key)
		line(w, "certificate until", moment(id.Expires))
	})
}

func printSlot(c *call, slot boot.Slot) {
	show(c, map[string]boot.Slot{"slot": slot}, func(w io.Writer) { fmt.Fprintln(w, slot) })
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// sizeOf is a size for people; nothing for 0.
func sizeOf(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 1<<20:
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
