package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// LogFile is a file that the service writes its log to. What was written on an earlier day (UTC)
// is moved to FILE.YYYY-MM-DD, and removed when it is too old. Where the file cannot be written,
// lines go to another place, and the first of them says why. It is to be closed.
type LogFile struct {
	path  string
	days  int
	clock func() time.Time
	other io.Writer

	mu     sync.Mutex
	file   *os.File // nil while it cannot be written
	day    string   // of what is in it
	torn   bool     // the last line of the file is not whole
	failed bool     // and was said to be
}

// OpenLogFile opens a log file, or makes it, and removes those of more than days ago. It fails
// where the file cannot be opened now; later only the other writer hears of it.
func OpenLogFile(path string, days int, clock func() time.Time, other io.Writer) (*LogFile, error) {
	l := &LogFile{path: path, days: days, clock: clock, other: other}
	if err := errors.Join(l.turn(), l.sweep()); err != nil {
		return nil, errors.Join(fmt.Errorf("log file %s: %w", path, err), l.Close())
	}
	return l, nil
}

// Write takes whole lines. It fails only if the other writer fails as well.
func (l *LogFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.turn()
	if err == nil {
		err = l.put(line)
	}
	if err == nil {
		l.failed = false
		return len(line), nil
	}
	l.fail(err)
	return l.other.Write(line)
}

// put writes to the file. A line that a full disk has torn is ended first.
func (l *LogFile) put(line []byte) error {
	if l.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := l.file.Write(line)
	if n > 0 {
		l.torn = line[n-1] != '\n'
	}
	return err
}

// fail says once that the file cannot be written, and has it opened anew the next time.
func (l *LogFile) fail(err error) {
	if l.file != nil {
		l.file.Close() // whatever it says: it is not of use
		l.file = nil
	}
	if !l.failed {
		fmt.Fprintf(l.other, "log file %s cannot be written: %v: the log goes here until it can be: make room, or choose another with --log-file\n", l.path, err)
	}
	l.failed = true
}

// turn has the file open, with nothing in it but lines of today.
func (l *LogFile) turn() error {
	today := l.clock().UTC().Format(time.DateOnly)
	if l.file != nil && l.day == today {
		return nil
	}
	if l.file == nil {
		if err := l.open(today); err != nil {
			return err
		}
	}
	// Days that the clock steps back to do not move the file.
	if l.day >= today {
		return nil
	}
	if err := os.Rename(l.path, l.free(l.day)); err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file = nil
	return l.open(today)
}

// open opens the file. Its day is that of its last change; only ordinary files have one.
func (l *LogFile) open(today string) error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.day = f, today
	if st.Mode().IsRegular() && st.Size() > 0 {
		l.day = st.ModTime().UTC().Format(time.DateOnly)
	}
	if !st.Mode().IsRegular() {
		l.day = "9999-12-31" // is never moved
	}
	return nil
}

// free is a name for what was written on a day.
func (l *LogFile) free(day string) string {
	name := l.path + "." + day
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); err != nil {
			return name
		}
		name = fmt.Sprintf("%s.%s.%d", l.path, day, n)
	}
}

// sweep removes what is too old.
func (l *LogFile) sweep() error {
	names, err := filepath.Glob(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(l.path) + ".????-??-??*")
	if err != nil {
		return err
	}
	oldest := l.clock().UTC().AddDate(0, 0, -l.days).Format(time.DateOnly)
	for _, name := range names {
		day := name[len(l.path)+1:][:len(time.DateOnly)]
		if _, bad := time.Parse(time.DateOnly, day); bad == nil && day < oldest {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

// Keep looks every so often whether a day has ended or a file is too old, until ctx ends.
func (l *LogFile) Keep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.look()
		}
	}
}

func (l *LogFile) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.turn(); err != nil {
		l.fail(err)
		return
	}
	if err := l.sweep(); err != nil {
		fmt.Fprintf(l.other, "old log files are not removed: %v\n", err)
	}
}

// Close closes the file.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
