package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTime is how long a server may take until it answers.
const startTime = 30 * time.Second

// create finds the programs and makes an empty cluster in a folder below the one for temporary
// files: the socket's path must be short.
func (s *Server) create() (err error) {
	if s.bin, err = programs(); err != nil {
		return err
	}
	if s.owner, err = owner(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return err
	}
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return err
		}
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, text)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// programs finds the folder of the server's programs.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("initdb of PostgreSQL is missing: apt-get install postgresql, or set %s to go without", SkipVariable)
	}
	return filepath.Dir(slices.Max(found)), nil
}

// owner is whom the server runs as where we are root: it refuses to be root.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// command is one of the server's programs. It ends with us, whatever ends us.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// process is a server that runs.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer // complete after ended
	done chan struct{}
}

func (s *Server) run() (*process, error) {
	p := &process{done: make(chan struct{})}
	fsync := "off" // a killed server loses nothing by it, a machine would
	if s.Fsync {
		fsync = "on"
	}
	p.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync="+fsync, "-c", "max_connections=120", "-c", "shared_buffers=64MB")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	started := make(chan error)
	go func() {
		// The server is to end with this process, not with this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- p.cmd.Start()
		_ = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, s.answers(p)
}

// answers waits until the server takes connections.
func (s *Server) answers(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.done:
			return fmt.Errorf("the PostgreSQL server has ended: %s", p.log.String())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the PostgreSQL server does not answer: %w", err), p.kill())
		}
	}
}

// kill ends the server and its children, which would otherwise finish what they are at.
func (p *process) kill() error {
	pid := p.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	err := syscall.Kill(pid, syscall.SIGKILL)
	<-p.done
	for _, text := range strings.Fields(string(children)) {
		if child, e := strconv.Atoi(text); e == nil {
			_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended by itself
			for syscall.Kill(child, 0) == nil {
				time.Sleep(time.Millisecond)
			}
		}
	}
	return err
}
