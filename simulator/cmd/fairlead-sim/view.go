package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// view shows a run while it goes on: a picture that is drawn again and again on a terminal, lines elsewhere.
type view struct {
	w    io.Writer // nil: nothing is shown
	s    *scenario.Scenario
	live bool
	port *port // nil without one

	mu      sync.Mutex
	samples []report.Sample // of the last seconds
	said    []string        // the last lines
	drawn   int             // lines of the picture on the terminal
	told    string          // states, as they were printed last
}

// Sizes of the picture, in lines and in characters.
const (
	saidLines  = 4
	barWidth   = 40
	maxSamples = 8
)

func newView(c *cli.Context, s *scenario.Scenario) *view {
	v := &view{w: c.App.Writer, s: s}
	if c.Bool("json") {
		v.w = nil
	}
	f, isFile := c.App.Writer.(*os.File)
	v.live = isFile && !c.Bool("plain") && !c.Bool("json") && !c.Bool("verbose") && term.IsTerminal(int(f.Fd()))
	return v
}

// say takes a line of the story.
func (v *view) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	line = strings.TrimSpace(line)
	v.said = append(v.said, line)
	v.said = v.said[max(0, len(v.said)-saidLines):]
	if v.w != nil && !v.live {
		fmt.Fprintf(v.w, "%s  %s\n", time.Now().Format("15:04:05"), line)
	}
	v.draw()
}

// sampled takes a sample.
func (v *view) sampled(s report.Sample) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.samples = append(v.samples, s)
	v.samples = v.samples[max(0, len(v.samples)-maxSamples):]
	if v.port != nil {
		v.port.sampled(v.samples)
	}
	if states := inWords(s.States); v.w != nil && !v.live && states != v.told {
		fmt.Fprintf(v.w, "%s  %s\n", time.Now().Format("15:04:05"), states)
		v.told = states
	}
	v.draw()
}

func inWords(states map[string]int) string {
	var words []string
	for _, state := range order(states) {
		words = append(words, fmt.Sprintf("%d %s", states[state], state))
	}
	return strings.Join(words, ", ")
}

// order is the most frequent state first.
func order(states map[string]int) []string {
	var all []string
	for state := range states {
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b string) int {
		if states[a] != states[b] {
			return states[b] - states[a]
		}
		return strings.Compare(a, b)
	})
	return all
}

// draw draws the picture over the last one.
func (v *view) draw() {
	if !v.live || len(v.samples) == 0 {
		return
	}
	lines := v.picture()
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "\x1b[2K%s\n", line)
	}
	for i := len(lines); i < v.drawn; i++ {
		b.WriteString("\x1b[2K\n")
	}
	v.drawn = max(v.drawn, len(lines))
	_, _ = io.WriteString(v.w, b.String())
}

func (v *view) picture() []string {
	last := v.samples[len(v.samples)-1]
	perSecond := func(f func(report.Sample) float64) float64 { return report.Rate(v.samples, f) }
	left := "coming up"
	if last.At >= 0 {
		left = fmt.Sprintf("%.0f s, at most %.0f s left", last.At, max(0, v.s.For.D().Seconds()-last.At))
	}
	lines := []string{fmt.Sprintf("\x1b[1m%s\x1b[0m  %d units  seed %d  %s", v.s.Name, v.s.Units, v.s.Seed, left), ""}
	for _, state := range order(last.States) {
		n := last.States[state]
		lines = append(lines, fmt.Sprintf("  %-12s %s %d", state, bar(n, v.s.Units), n))
	}
	return append(lines, "",
		fmt.Sprintf("  received %s/s  sent %s/s  requests %.0f/s  messages %.0f/s  stored after %s",
			report.Bytes(perSecond(func(s report.Sample) float64 { return float64(s.Received) })),
			report.Bytes(perSecond(func(s report.Sample) float64 { return float64(s.Sent) })),
			perSecond(func(s report.Sample) float64 { return s.Requests }), perSecond(func(s report.Sample) float64 { return s.Messages }),
			report.Seconds(last.Latency)),
		fmt.Sprintf("  connections %d open, %.0f/s new  on MQTT %.0f", last.Open, perSecond(func(s report.Sample) float64 { return float64(s.Connections) }), last.Devices),
		fmt.Sprintf("  fleet %.2f processors, %s  service %.2f processors, %s",
			perSecond(func(s report.Sample) float64 { return s.FleetCPU }), report.Bytes(last.FleetMem),
			perSecond(func(s report.Sample) float64 { return s.ServiceCPU }), report.Bytes(last.ServiceMem)),
		"", "  "+strings.Join(v.said, "\n\x1b[2K  "))
}

func bar(n, of int) string {
	full := n * barWidth / max(of, 1)
	return strings.Repeat("█", full) + strings.Repeat("·", barWidth-full)
}
