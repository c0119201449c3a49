package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/fairlead/fairlead/agent/install"
)

// showProgress shows how far an installation is, on stderr: one line that changes on a
// terminal, a line for every tenth elsewhere, and then only if the user asks for it.
func (c *call) showProgress() func(install.Progress) {
	f, isFile := c.stderr.(*os.File)
	terminal := isFile && term.IsTerminal(int(f.Fd()))
	if !terminal && !c.progress {
		return nil
	}
	p := &printer{w: c.stderr, step: 10}
	if terminal {
		p.step, p.start, p.end = 1, "\r", ""
	} else {
		p.end = "\n"
	}
	return p.show
}

type printer struct {
	w          io.Writer
	step       int64 // percent between two lines
	start, end string

	mu    sync.Mutex
	phase string
	last  int64 // percent
}

func (p *printer) show(now install.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	percent := int64(100)
	if now.Total > 0 {
		percent = now.Done * 100 / now.Total
	}
	if now.Phase == p.phase && percent < p.last+p.step && percent != 100 || now.Phase == p.phase && percent == p.last {
		return
	}
	p.phase, p.last = now.Phase, percent
	word := "installing"
	if now.Phase == install.PhaseVerify {
		word = "reading back"
	}
	fmt.Fprintf(p.w, "%s%-12s %3d %% of %s, %s fetched%s", p.start, word, percent, dash(sizeOf(now.Total)), dash(sizeOf(now.Fetched)), p.end)
	if p.end == "" && percent == 100 {
		fmt.Fprintln(p.w)
	}
}
