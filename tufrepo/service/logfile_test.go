package service_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/service"
)

// logDir is a folder with a log file and a clock.
type logDir struct {
	t     *testing.T
	path  string
	now   time.Time
	other bytes.Buffer
}

func newLogDir(t *testing.T) *logDir {
	// Files are given their times by the system, so the clock begins there.
	return &logDir{t: t, path: filepath.Join(t.TempDir(), "fair[1].log"), now: time.Now()}
}

func (d *logDir) open(days int) *service.LogFile {
	d.t.Helper()
	l, err := service.OpenLogFile(d.path, days, func() time.Time { return d.now }, &d.other)
	must(d.t, err)
	d.t.Cleanup(func() { l.Close() })
	return l
}

func (d *logDir) say(l *service.LogFile, line string) {
	d.t.Helper()
	if n, err := l.Write([]byte(line + "\n")); err != nil || n != len(line)+1 {
		d.t.Errorf("%q: %d, %v", line, n, err)
	}
}

// files are the names in the folder behind that of the log, and what is in them.
func (d *logDir) files() (out []string) {
	d.t.Helper()
	all, err := os.ReadDir(filepath.Dir(d.path))
	must(d.t, err)
	for _, e := range all {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(d.path), e.Name()))
		must(d.t, err)
		out = append(out, strings.TrimPrefix(e.Name(), filepath.Base(d.path))+"="+strings.ReplaceAll(string(b), "\n", ";"))
	}
	slices.Sort(out)
	return out
}

func (d *logDir) day(ago int) string { return d.now.UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }

func (d *logDir) want(what string, want ...string) {
	d.t.Helper()
	slices.Sort(want)
	if got := d.files(); !slices.Equal(got, want) {
		d.t.Errorf("%s: files %q, want %q", what, got, want)
	}
}

func TestLogFileOfEachDay(t *testing.T) {
	d := newLogDir(t)
	l := d.open(2)
	for n, line := range []string{"zero", "one", "two", "three"} {
		if n > 0 {
			d.now = d.now.AddDate(0, 0, 1)
		}
		d.say(l, line)
		stamp(t, d.path, d.now)
	}
	must(t, l.Close())
	stamp(t, d.path, d.now)
	must(t, os.WriteFile(d.path+".notes", []byte("mine"), 0o644))
	must(t, os.WriteFile(d.path+".0000-99-99", []byte("mine"), 0o644))
	d.now = d.now.AddDate(0, 0, 1)
	l = d.open(2) // moves and removes at the start, too
	d.say(l, "four")
	d.want("after four days", "=four;", ".notes=mine", ".0000-99-99=mine", "."+d.day(1)+"=three;", "."+d.day(2)+"=two;")
	d.now = d.now.AddDate(0, 0, -1)
	d.say(l, "back")
	d.now = d.now.AddDate(0, 0, 1)
	d.say(l, "forth")
	d.want("after the clock was set", "=four;back;forth;", ".notes=mine", ".0000-99-99=mine", "."+d.day(1)+"=three;", "."+d.day(2)+"=two;")
	if d.other.Len() > 0 {
		t.Errorf("it is said that %s", &d.other)
	}
}

// stamp gives a file the time that the clock of the test has.
func stamp(t *testing.T, path string, at time.Time) {
	t.Helper()
	must(t, os.Chtimes(path, at, at))
}

// TestLogFileKeepsWithoutALine: a service that says nothing removes what is too old all the same.
func TestLogFileKeepsWithoutALine(t *testing.T) {
	d := newLogDir(t)
	old := d.path + "." + d.day(3)
	l := d.open(2)
	must(t, os.WriteFile(old, nil, 0o644))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() { l.Keep(ctx, time.Millisecond); close(ended) }()
	until(t, "the old file is removed", func() bool { _, err := os.Stat(old); return os.IsNotExist(err) })
	cancel()
	<-ended
}

// TestLogFileOnAFullDisk: every line is somewhere, the reason is said once, and the file is
// used again when it can be.
func TestLogFileOnAFullDisk(t *testing.T) {
	d := newLogDir(t)
	must(t, os.Symlink("/dev/full", d.path))
	l := d.open(45)
	d.say(l, "one")
	d.now = d.now.AddDate(0, 0, 1)
	d.say(l, "two")
	got := d.other.String()
	if strings.Count(got, "cannot be written") != 1 || !strings.Contains(got, "no space left on device") || !strings.HasSuffix(got, "one\ntwo\n") {
		t.Errorf("on a full disk: %s", got)
	}
	must(t, os.Remove(d.path))
	d.say(l, "three")
	d.want("with room again", "=three;")
	must(t, l.Close())
	must(t, os.Remove(d.path))
	must(t, os.Symlink("/dev/full", d.path))
	d.other.Reset()
	d.say(l, "four")
	if got := d.other.String(); strings.Count(got, "cannot be written") != 1 || !strings.HasSuffix(got, "four\n") {
		t.Errorf("full once more: %s", got)
	}
}

func TestLogFileThatCannotBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nowhere", "x.log")
	if _, err := service.OpenLogFile(path, 45, time.Now, os.Stderr); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
