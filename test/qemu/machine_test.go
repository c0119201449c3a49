package qemu

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// machine is an emulated PC that has power. When it reboots, another emulator takes over its disk.
type machine struct {
	t      *testing.T
	disk   *disk
	starts *starts
	dir    string
	lines  chan line
	done   chan struct{} // closed when it has ended

	mu    sync.Mutex
	said  strings.Builder
	cmd   *exec.Cmd
	ended bool          // by off
	spent time.Duration // of processor time
}

// line is what came over the serial line, and when.
type line struct {
	at   time.Time
	text string
}

// powerOn starts a machine with a disk. It runs until off.
func powerOn(t *testing.T, d *disk, s *starts) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "qemu-")
	must(t, err)
	m := &machine{t: t, disk: d, starts: s, dir: dir, lines: make(chan line, 10_000), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for m.on() {
			if err := m.run(); err != nil {
				m.note("FL error: " + err.Error())
				return
			}
		}
	}()
	return m
}

func (m *machine) on() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.ended && !m.disk.isDead()
}

// run is one emulator, from power on to the reboot.
func (m *machine) run() error {
	socket := filepath.Join(m.dir, "disk")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- serveNBD(l, m.disk) }()
	args := []string{"-M", "pc,smm=off,hpet=off,vmport=off", "-accel", "tcg", "-cpu", "qemu64,+rdrand", "-m", "192", "-smp", "1",
		"-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-qmp", "unix:" + m.dir + "/qmp,server=on,wait=off",
		"-drive", "if=none,id=d0,format=raw,cache=writeback,file=nbd:unix:" + socket, "-device", "virtio-blk-pci,drive=d0,bootindex=0",
		"-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=", "-device", "i6300esb", "-action", "watchdog=reset"}
	known := m.starts.fit(m.disk)
	if known != nil {
		args = append(args, "-incoming", "exec:cat '"+known.state+"'")
	} else {
		m.disk.record()
	}
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = m.begin(cmd, known)
	if err != nil {
		return err
	}
	if err := <-served; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("the disk: %w", err)
	}
	return nil
}

// begin runs the emulator to its end.
func (m *machine) begin(cmd *exec.Cmd, known *start) error {
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	m.mu.Lock()
	if m.cmd = cmd; !m.ended {
		err = cmd.Start()
	}
	m.mu.Unlock()
	if err != nil || cmd.Process == nil {
		return err
	}
	defer func() {
		_ = cmd.Wait()
		m.mu.Lock()
		m.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		m.mu.Unlock()
	}()
	if err := m.talk(in, out, known); err != nil {
		_ = cmd.Process.Kill()
		return m.unless(err)
	}
	return nil
}

// talk passes on what the machine says, and gives it the word that it waits for, until it ends.
func (m *machine) talk(in io.Writer, out io.Reader, known *start) error {
	q, err := dialQMP(m.dir+"/qmp", m.on)
	if err != nil {
		return err
	}
	defer q.Close()
	if known != nil {
		if err := q.load(); err != nil {
			return err
		}
		fmt.Fprintln(in, time.Now().Unix())
	}
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		text := strings.TrimRight(s.Text(), "\r")
		m.note(text)
		if strings.Contains(text, "FL ready") {
			if err := m.starts.add(m.disk, q.save); err != nil {
				return err
			}
			fmt.Fprintln(in, time.Now().Unix())
		}
	}
	return nil
}

// unless drops an error that only says that the power is gone.
func (m *machine) unless(err error) error {
	if !m.on() {
		return nil
	}
	return err
}

func (m *machine) note(text string) {
	m.mu.Lock()
	fmt.Fprintln(&m.said, text)
	m.mu.Unlock()
	select {
	case m.lines <- line{time.Now(), text}:
	default: // nobody listens
	}
}

// off takes the power away.
func (m *machine) off() {
	m.mu.Lock()
	m.ended = true
	if m.cmd != nil && m.cmd.Process != nil {
		_ = m.cmd.Process.Kill()
	}
	m.mu.Unlock()
	<-m.done
	_ = os.RemoveAll(m.dir)
}

func (m *machine) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.said.String()
}

var (
	errLate  = errors.New("it takes too long")
	errEnded = errors.New("the emulator ended")
)

// until waits for a line. It ends with errPower when the power is cut.
func (m *machine) until(limit time.Duration, found func(string) bool) (line, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), limit)
	defer cancel()
	for {
		select {
		case l := <-m.lines:
			if found(l.text) {
				return l, nil
			}
		case <-m.disk.dead:
			return line{}, errPower
		case <-m.done:
			return line{}, errEnded
		case <-ctx.Done():
			return line{}, errLate
		}
	}
}

// has finds a line with each of some texts.
func has(texts ...string) func(string) bool {
	return func(l string) bool {
		for _, text := range texts {
			if !strings.Contains(l, text) {
				return false
			}
		}
		return true
	}
}

// wait is until for what must come.
func (m *machine) wait(limit time.Duration, texts ...string) line {
	m.t.Helper()
	l, err := m.until(limit, has(texts...))
	if err != nil {
		m.t.Fatalf("waiting for %q: %v\n%s", texts, err, m.text())
	}
	return l
}
