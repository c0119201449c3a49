package cmdline

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// ProgressFlag asks for progress where there is no terminal.
func ProgressFlag() cli.Flag {
	return &cli.BoolFlag{Name: "progress", Usage: "show progress even if stderr is not a terminal"}
}

// Progress shows long work on stderr: one line that moves on a terminal, a line for every tenth elsewhere. Its methods
// may be called on nil, and then show nothing.
type Progress struct {
	w     io.Writer
	tty   bool
	label string
	now   func() time.Time
	begun time.Time // of the first report
	first int64     // bytes that it told of
	next  time.Time // of the next redraw on a terminal
	tenth int64     // last tenth that was printed
	drawn bool
}

// NewProgress returns nil where nothing is to be shown.
func NewProgress(c *cli.Context, label string) *Progress {
	f, isFile := c.App.ErrWriter.(*os.File)
	tty := isFile && term.IsTerminal(int(f.Fd()))
	if !tty && !c.Bool("progress") {
		return nil
	}
	return &Progress{w: c.App.ErrWriter, tty: tty, label: label, now: time.Now, tenth: -1}
}

// Report is the function for those who do the work; nil where nothing is to be shown. It takes bytes.
func (p *Progress) Report() func(done, total int64) {
	if p == nil {
		return nil
	}
	return p.update
}

func (p *Progress) update(done, total int64) {
	now := p.now()
	if p.begun.IsZero() {
		p.begun, p.first = now, done
	}
	percent := int64(100)
	if total > 0 {
		percent = int64(float64(done) / float64(total) * 100)
	}
	line := fmt.Sprintf("%s: %3d %% of %.1f MiB%s", p.label, percent, float64(total)/(1<<20), p.pace(now, done, total))
	if !p.tty {
		if percent/10 > p.tenth {
			p.tenth = percent / 10
			fmt.Fprintln(p.w, line)
		}
		return
	}
	if done == total || now.After(p.next) {
		p.next, p.drawn = now.Add(100*time.Millisecond), true
		fmt.Fprintf(p.w, "\r%s\x1b[K", line) // the line before may have been longer
	}
}

// pace is the rate and the time left, once there has been time enough to tell.
func (p *Progress) pace(now time.Time, done, total int64) string {
	passed := now.Sub(p.begun)
	if passed < time.Second || done <= p.first {
		return ""
	}
	rate := float64(done-p.first) / passed.Seconds()
	pace := fmt.Sprintf(", %.1f MiB/s", rate/(1<<20))
	if left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second); left > 0 {
		pace += fmt.Sprintf(", %v left", left)
	}
	return pace
}

// End leaves the moving line.
func (p *Progress) End() {
	if p != nil && p.drawn {
		fmt.Fprintln(p.w)
	}
}
