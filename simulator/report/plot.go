package report

import (
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
)

// Size of a plot, in the units of its own picture.
const (
	plotWidth, plotHeight   = 760, 220
	marginLeft, marginRight = 62, 12
	marginTop, marginBottom = 12, 34
	innerWidth              = plotWidth - marginLeft - marginRight
	innerHeight             = plotHeight - marginTop - marginBottom
	ticks                   = 5
)

// colours of states; others take their turn from palette.
var colours = map[string]string{
	"idle": "#b9c2cc", "downloading": "#4a90d9", "installing": "#7b61c4", "staged": "#5fb3b3", "rebooting": "#e8a33d", "trying": "#e06c2b",
	"committed": "#3f9c56", "failed": "#c0392b", "rolled_back": "#d4679a", "rejected": "#8c5a3c", "off": "#444c56", "hung": "#111111", "bricked": "#ff0000",
}

var palette = []string{"#4a90d9", "#e06c2b", "#3f9c56", "#7b61c4"}

// stateOrder is from the bottom of the stack to its top.
var stateOrder = []string{"committed", "trying", "rebooting", "installing", "staged", "downloading", "idle", "rejected", "failed", "rolled_back", "hung", "off", "bricked"}

// series is one line of a plot.
type series struct {
	name   string
	colour string
	values []float64
}

// Plot is a picture with its name.
type Plot struct {
	Title string
	SVG   template.HTML
}

// plots are all pictures over time.
func plots(r *Run) []Plot {
	if len(r.Samples) < 2 {
		return nil
	}
	at := make([]float64, len(r.Samples))
	for i, s := range r.Samples {
		at[i] = s.At
	}
	each := func(f func(Sample) float64) []float64 {
		out := make([]float64, len(r.Samples))
		for i, s := range r.Samples {
			out[i] = f(s)
		}
		return out
	}
	perSecond := func(f func(Sample) float64) []float64 {
		out := make([]float64, len(r.Samples))
		for i := range r.Samples {
			out[i] = rate(r.Samples, i, f)
		}
		return out
	}
	number, size := func(v float64) string { return fmt.Sprintf("%.4g", v) }, func(v float64) string { return Bytes(v) }
	received := func(s Sample) float64 { return float64(s.Received) }
	sent := func(s Sample) float64 { return float64(s.Sent) }
	return []Plot{
		{"Units by state", stack(r, at, states(r))},
		{"Bytes a second", draw(r, at, size, series{"received by the fleet", palette[0], perSecond(received)}, series{"sent", palette[1], perSecond(sent)})},
		{"Requests and messages a second", draw(r, at, number,
			series{"HTTP requests", palette[0], perSecond(func(s Sample) float64 { return s.Requests })},
			series{"MQTT messages", palette[1], perSecond(func(s Sample) float64 { return s.Messages })},
			series{"new connections", palette[2], perSecond(func(s Sample) float64 { return float64(s.Connections) })})},
		{"Connections", draw(r, at, number, series{"open", palette[0], each(func(s Sample) float64 { return float64(s.Open) })},
			series{"devices on MQTT", palette[1], each(func(s Sample) float64 { return s.Devices })})},
		{"Processors taken", draw(r, at, number, series{"fleet", palette[0], perSecond(func(s Sample) float64 { return s.FleetCPU })},
			series{"service", palette[1], perSecond(func(s Sample) float64 { return s.ServiceCPU })})},
		{"Memory", draw(r, at, size, series{"fleet", palette[0], each(func(s Sample) float64 { return float64(s.FleetMem) })},
			series{"service", palette[1], each(func(s Sample) float64 { return float64(s.ServiceMem) })})},
	}
}

func states(r *Run) (all []series) {
	seen := map[string]bool{}
	for _, s := range r.Samples {
		for state := range s.States {
			seen[state] = true
		}
	}
	order := slices.Clone(stateOrder)
	for _, state := range slices.Sorted(maps.Keys(seen)) {
		if !slices.Contains(order, state) {
			order = append(order, state)
		}
	}
	for _, state := range order {
		if !seen[state] {
			continue
		}
		one := series{name: state, colour: colours[state]}
		for _, s := range r.Samples {
			one.values = append(one.values, float64(s.States[state]))
		}
		all = append(all, one)
	}
	return all
}

// frame is where things are in a picture.
type frame struct {
	b        strings.Builder
	from, to float64 // of x
	top      float64 // of y
}

func newFrame(x []float64, top float64) *frame {
	f := &frame{from: x[0], to: x[len(x)-1], top: nice(top)}
	fmt.Fprintf(&f.b, `<svg viewBox="0 0 %d %d" role="img">`, plotWidth, plotHeight)
	return f
}

func (f *frame) x(v float64) float64 {
	return marginLeft + (v-f.from)/max(f.to-f.from, 1e-9)*innerWidth
}
func (f *frame) y(v float64) float64 { return marginTop + (1-v/f.top)*innerHeight }

// nice is the next round number.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(v)))
	for _, k := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if k*step >= v {
			return k * step
		}
	}
	return v
}

// axes draws the lines and their numbers. x in seconds.
func (f *frame) axes(words func(float64) string, xWords func(float64) string) {
	for i := range ticks {
		v := f.top * float64(i) / (ticks - 1)
		fmt.Fprintf(&f.b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" class="r">%s</text>`,
			marginLeft, plotWidth-marginRight, f.y(v), f.y(v), marginLeft-5, f.y(v)+3, html.EscapeString(words(v)))
		at := f.from + (f.to-f.from)*float64(i)/(ticks-1)
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case ticks - 1:
			anchor = "end"
		}
		fmt.Fprintf(&f.b, `<text x="%.1f" y="%d" style="text-anchor:%s">%s</text>`, f.x(at), plotHeight-marginBottom+14,
			anchor, html.EscapeString(xWords(at)))
	}
}

// events marks what happened.
func (f *frame) events(r *Run) {
	for _, e := range r.Events {
		if e.At >= f.from && e.At <= f.to {
			fmt.Fprintf(&f.b, `<line class="e" x1="%.1f" x2="%.1f" y1="%d" y2="%d"><title>%s: %s</title></line>`,
				f.x(e.At), f.x(e.At), marginTop, plotHeight-marginBottom, html.EscapeString(Seconds(e.At)), html.EscapeString(e.Words))
		}
	}
}

// legend names the lines, in one row below.
func (f *frame) legend(all []series) template.HTML {
	x := float64(marginLeft)
	for _, s := range all {
		fmt.Fprintf(&f.b, `<rect x="%.0f" y="%d" width="9" height="9" fill="%s"/><text x="%.0f" y="%d">%s</text>`,
			x, plotHeight-12, s.colour, x+13, plotHeight-4, html.EscapeString(s.name))
		x += 24 + 6.4*float64(len(s.name))
	}
	f.b.WriteString(`</svg>`)
	return template.HTML(f.b.String()) // every word in it was escaped
}

// draw draws lines.
func draw(r *Run, at []float64, words func(float64) string, all ...series) template.HTML {
	top := 0.0
	for _, s := range all {
		top = max(top, slices.Max(s.values))
	}
	f := newFrame(at, top)
	f.axes(words, onAxis)
	f.events(r)
	for _, s := range all {
		fmt.Fprintf(&f.b, `<polyline fill="none" stroke="%s" stroke-width="1.6" points="`, s.colour)
		for i, v := range s.values {
			fmt.Fprintf(&f.b, "%.1f,%.1f ", f.x(at[i]), f.y(v))
		}
		f.b.WriteString(`"/>`)
	}
	return f.legend(all)
}

// onAxis is a time on an axis.
func onAxis(v float64) string { return fmt.Sprintf("%.4g s", math.Round(v*10)/10) }

// stack draws areas on each other.
func stack(r *Run, at []float64, all []series) template.HTML {
	f := newFrame(at, float64(r.Units))
	f.top = float64(r.Units)
	f.axes(func(v float64) string { return fmt.Sprintf("%.0f", v) }, onAxis)
	below := make([]float64, len(at))
	for _, s := range all {
		fmt.Fprintf(&f.b, `<polygon fill="%s" points="`, s.colour)
		for i := range at {
			fmt.Fprintf(&f.b, "%.1f,%.1f ", f.x(at[i]), f.y(below[i]))
		}
		for i := len(at) - 1; i >= 0; i-- {
			below[i] += s.values[i]
			fmt.Fprintf(&f.b, "%.1f,%.1f ", f.x(at[i]), f.y(below[i]))
		}
		fmt.Fprintf(&f.b, `"><title>%s</title></polygon>`, html.EscapeString(s.name))
	}
	f.events(r)
	return f.legend(all)
}

// histogram draws a distribution.
func histogram(p Percentiles, unit string) template.HTML {
	if p.Count == 0 || len(p.Bars) == 0 {
		return ""
	}
	words := func(v float64) string { return Seconds(v) }
	if unit == "bytes" {
		words = func(v float64) string { return Bytes(v) }
	}
	top := 0.0
	for _, b := range p.Bars {
		top = max(top, float64(b.Count))
	}
	f := newFrame([]float64{p.Bars[0].From, p.Bars[len(p.Bars)-1].To}, top)
	f.axes(func(v float64) string { return fmt.Sprintf("%.4g", v) }, words)
	for _, b := range p.Bars {
		fmt.Fprintf(&f.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s to %s: %d</title></rect>`, f.x(b.From)+1, f.y(float64(b.Count)),
			max(f.x(b.To)-f.x(b.From)-2, 1), f.y(0)-f.y(float64(b.Count)), palette[0], html.EscapeString(words(b.From)), html.EscapeString(words(b.To)), b.Count)
	}
	return f.legend([]series{{name: "units", colour: palette[0]}})
}
