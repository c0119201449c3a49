package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// stateText is an update's state for people.
func stateText(u api.Update) string { return state(u) }

// showRollout prints a rollout, and devices that failed.
func showRollout(c *cli.Context, r api.Rollout, failed []api.RolloutDevice) error {
	return serviceShow(c, r, func(w io.Writer) {
		for _, line := range headLines(r) {
			row(w, line[0], line[1])
		}
		fmt.Fprintln(w)
		row(w, "PHASE", "DONE", "NEED", "DEVICES")
		for _, p := range r.Phases {
			row(w, p.Name, fmt.Sprintf("%d/%d", p.Good, p.Size), p.Need, phaseText(p))
		}
		if len(r.Reasons) > 0 {
			fmt.Fprintln(w)
			row(w, "DEVICES", "STATE", "WHY")
			for _, why := range r.Reasons {
				row(w, why.Devices, why.State, why.Reason)
			}
		}
		if len(failed) > 0 {
			fmt.Fprintln(w)
			deviceRows(w, failed)
		}
	})
}

func headLines(r api.Rollout) [][2]string {
	out := [][2]string{{"rollout", r.ID}, {"tenant", r.Tenant}, {"release", r.Product + "/" + r.Version}}
	if r.Fallback != "" {
		out = append(out, [2]string{"fallback", r.Fallback})
	}
	out = append(out, [2]string{"run", r.Run})
	if r.Reason != "" {
		out = append(out, [2]string{"reason", r.Reason})
	}
	if r.Phase != "" {
		out = append(out, [2]string{"phase", r.Phase})
	}
	if r.Next != nil {
		out = append(out, [2]string{"goes on by", shortTime(*r.Next)})
	}
	if len(r.Outside) > 0 {
		out = append(out, [2]string{"in no phase", statesText(r.Outside)})
	}
	return append(out, [2]string{"in flight", fmt.Sprint(r.InFlight)}, [2]string{"created", shortTime(r.Created) + " by " + r.Creator})
}

// phaseText is who is where in a phase.
func phaseText(p api.RolloutPhase) string {
	text := statesText(p.States)
	if p.Busy > 0 {
		text += fmt.Sprintf(", %d with another rollout", p.Busy)
	}
	if p.Approval {
		text += ", waits for approval"
	}
	return text
}

func statesText(states map[string]int) string {
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(states)) {
		parts = append(parts, fmt.Sprintf("%s %d", s, states[s]))
	}
	return strings.Join(parts, ", ")
}

func showPreview(c *cli.Context, p api.Preview) error {
	return serviceShow(c, p, func(w io.Writer) {
		row(w, "PHASE", "DEVICES", "NEED", "WHO")
		for _, phase := range p.Phases {
			who := someOf(phase.PreviewPart)
			if phase.Busy > 0 {
				who += fmt.Sprintf(" (%d with another rollout now)", phase.Busy)
			}
			row(w, phase.Name, phase.Count, phase.Need, who)
		}
		row(w, "done already", p.Already.Count, "", someOf(p.Already))
		for _, part := range p.Excluded {
			row(w, "left out: "+part.Reason, part.Count, "", someOf(part))
		}
		if p.Others > 0 {
			row(w, "other products", p.Others, "", "")
		}
		fmt.Fprintf(w, "\nnothing was changed; start exactly this with --id %s\n", p.ID)
	})
}

func someOf(p api.PreviewPart) string {
	text := strings.Join(p.Devices, " ")
	if more := p.Count - len(p.Devices); more > 0 && len(p.Devices) > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
