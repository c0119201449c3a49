package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

func progressFlag() cli.Flag {
	return &cli.BoolFlag{Name: "progress", Usage: "show progress even if stderr is not a terminal"}
}

// progress shows how far the copying of blobs has come: a line that moves on a terminal, a line for every tenth
// elsewhere.
type progress struct {
	w     io.Writer
	tty   bool
	label string
	drawn time.Time // of the last redraw on a terminal
	tenth int64     // last tenth that was printed
}

// newProgress returns nil where nothing is to be shown.
func newProgress(c *cli.Context, label string) *progress {
	f, isFile := c.App.ErrWriter.(*os.File)
	tty := isFile && term.IsTerminal(int(f.Fd()))
	if !tty && !c.Bool("progress") {
		return nil
	}
	return &progress{w: c.App.ErrWriter, tty: tty, label: label, tenth: -1}
}

// report is the function for those who do the work; nil where nothing is to be shown.
func (p *progress) report() func(done, total int64) {
	if p == nil {
		return nil
	}
	return p.update
}

func (p *progress) update(done, total int64) {
	percent := int64(100)
	if total > 0 {
		percent = int64(float64(done) / float64(total) * 100)
	}
	line := fmt.Sprintf("%s: %3d %% of %.1f MiB", p.label, percent, float64(total)/(1<<20))
	if !p.tty {
		if percent/10 > p.tenth {
			p.tenth = percent / 10
			fmt.Fprintln(p.w, line)
		}
		return
	}
	if now := time.Now(); done == total || now.Sub(p.drawn) > 100*time.Millisecond {
		p.drawn = now
		fmt.Fprintf(p.w, "\r%s", line)
	}
}

// end leaves the moving line.
func (p *progress) end() {
	if p != nil && !p.drawn.IsZero() {
		fmt.Fprintln(p.w)
	}
}
