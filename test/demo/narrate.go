package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// narrator tells the story in plain lines, and keeps count of the expectations that held and those that did not.
type narrator struct {
	w      io.Writer
	began  time.Time
	step   int
	held   int
	failed []string
}

// chapter opens a part of the story.
func (n *narrator) chapter(format string, args ...any) {
	n.step++
	fmt.Fprintf(n.w, "\n%2d. %s\n", n.step, fmt.Sprintf(format, args...))
}

// say prints a line of the story with the seconds since its start.
func (n *narrator) say(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	for _, line := range strings.Split(text, "\n") {
		fmt.Fprintf(n.w, "    %5.1fs  %s\n", time.Since(n.began).Seconds(), line)
	}
}

// expect records whether something that must hold did.
func (n *narrator) expect(ok bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if ok {
		n.held++
		n.say("ok: %s", text)
		return
	}
	n.failed = append(n.failed, text)
	n.say("NOT AS EXPECTED: %s", text)
}
