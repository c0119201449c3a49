package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/fairlead/fairlead/agent/install"
)

// showProgress shows how far an installation is, on stderr: one line that changes on a terminal, a line for every tenth
// elsewhere, or, with --json, an object a second, each in a line of its own; elsewhere only if the user asks for it.
func (c *call) showProgress(now func() time.Time) func(install.Progress) {
	f, isFile := c.stderr.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if !terminal && !c.progress {
		return nil
	}
	p := &printer{w: c.stderr, now: now, json: c.json, terminal: terminal && !c.json}
	return p.show
}

type printer struct {
	w              io.Writer
	now            func() time.Time
	json, terminal bool

	mu    sync.Mutex
	last  install.Progress
	at    time.Time
	width int // of the line on the terminal
}

func (p *printer) show(now install.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.due(now) {
		return
	}
	p.last, p.at = now, p.now()
	switch {
	case p.json:
		p.object(now)
	case p.terminal:
		text := progressLine(now)
		fmt.Fprintf(p.w, "\r%-*s", p.width, text)
		if p.width = len(text); percent(now) == 100 {
			fmt.Fprintln(p.w)
			p.width = 0
		}
	default:
		fmt.Fprintln(p.w, progressLine(now))
	}
}

// due: the ends of a phase are shown, and between them no more than people can read.
func (p *printer) due(now install.Progress) bool {
	since := p.now().Sub(p.at)
	switch {
	case now.Phase != p.last.Phase:
		return true
	case percent(now) == 100:
		return percent(p.last) != 100
	case p.json:
		return since >= time.Second
	case p.terminal:
		return since >= 200*time.Millisecond
	}
	return percent(now)/10 > percent(p.last)/10
}

func percent(p install.Progress) int64 {
	if p.Total == 0 {
		return 100
	}
	return p.Done * 100 / p.Total
}

// progressLine is how far it is, for people.
func progressLine(p install.Progress) string {
	word := "installing"
	if p.Phase == install.PhaseVerify {
		word = "reading back"
	}
	parts := []string{fmt.Sprintf("%-12s %3d %% of %s", word, percent(p), dash(sizeOf(p.Total))), dash(sizeOf(p.Fetched)) + " fetched"}
	if p.Rate > 0 && percent(p) < 100 {
		parts = append(parts, sizeOf(p.Rate)+"/s")
	}
	if p.Left > 0 {
		parts = append(parts, p.Left.String()+" left")
	}
	return strings.Join(parts, ", ")
}

// object is how far it is, for programs: bytes, and seconds.
func (p *printer) object(now install.Progress) {
	b, err := json.Marshal(struct {
		Phase     string `json:"phase"`
		Done      int64  `json:"done"`
		Total     int64  `json:"total"`
		Fetched   int64  `json:"fetched"`
		Written   int64  `json:"written"`
		Unchanged int64  `json:"unchanged"`
		Rate      int64  `json:"rate"`
		Left      int64  `json:"left"`
	}{now.Phase, now.Done, now.Total, now.Fetched, now.Written, now.Unchanged, now.Rate, int64(now.Left.Seconds())})
	if err == nil {
		fmt.Fprintf(p.w, "%s\n", b)
	}
}
