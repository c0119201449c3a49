package site

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/tufrepo/service"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// running is a service that runs.
type running interface {
	kill() error
	stop() error
	pid() int // 0: this process
	ports() ready
}

// process is a service in a process of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end
	said ready
}

// startWait is for a service to open its ports.
const startWait = 60 * time.Second

// stopWait is for a service to end by itself.
const stopWait = 30 * time.Second

// Start starts the service. Its device port is the same at every start of a site.
func (s *Site) Start(ctx context.Context) error {
	if s.service != nil {
		return errors.New("starting the service: it runs")
	}
	start := s.startProcess
	if s.o.Exchange != nil {
		start = s.startInside
	}
	service, err := start(ctx, order{
		Repo: s.repo.Dir(), Listen: cmp.Or(s.address, "127.0.0.1:0"), AcceptRate: s.o.AcceptRate, NoBroker: s.o.NoBroker,
	})
	if err != nil {
		return fmt.Errorf("starting the service: %w", err)
	}
	s.service, s.address, s.starts = service, service.ports().Devices, s.starts+1
	return nil
}

func (s *Site) startProcess(ctx context.Context, o order) (running, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "service.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), childEnv+"="+string(text)), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p, err := launch(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("%w: see %s", err, log.Name())
	}
	return p, nil
}

func (p *process) ports() ready { return p.said }
func (p *process) pid() int     { return p.cmd.Process.Pid }

func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return err
}

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(stopWait, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.done
	return p.err
}

// launch starts a child and waits until it is ready.
func launch(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	first := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(bytes.TrimSpace(line), &p.said)
		}
		first <- err
		p.err = cmd.Wait()
		close(p.done)
	}()
	late := time.NewTimer(startWait)
	defer late.Stop()
	select {
	case err = <-first:
	case <-late.C:
		err = fmt.Errorf("it was not ready within %v", startWait)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = cmd.Process.Kill()
		<-p.done
		return nil, fmt.Errorf("%w (%v)", err, p.err)
	}
	return p, nil
}

// Kill kills the service, broker, web server and all, between two instructions.
func (s *Site) Kill() error {
	if s.service == nil {
		return errors.New("killing the service: it does not run")
	}
	err := s.service.kill()
	s.service = nil
	return err
}

// Stop lets the service come to its end.
func (s *Site) Stop() error {
	if s.service == nil {
		return nil
	}
	err := s.service.stop()
	if s.service = nil; err != nil {
		return fmt.Errorf("the service ended badly: %w: see %s", err, filepath.Join(s.dir, "service.log"))
	}
	return nil
}

// PID is the number of the service's process; 0 if it does not run, or has none of its own.
func (s *Site) PID() int {
	if s.service == nil {
		return 0
	}
	return s.service.pid()
}

// Serving is which start of the service runs, counted from 1; 0 for none.
func (s *Site) Serving() int {
	if s.service == nil {
		return 0
	}
	return s.starts
}

// URL is where devices find the service, once it was started.
func (s *Site) URL() string { return "https://" + s.address }

// Address is host and port of the device port.
func (s *Site) Address() string { return s.address }

// CA is the file with what vouches for the service.
func (s *Site) CA() string {
	return filepath.Join(service.StateDir(s.repo.Dir()), "ca", "server-ca.crt")
}

// Root is the file with the root that devices have from the factory.
func (s *Site) Root() string { return filepath.Join(s.repo.Dir(), "metadata", "1.root.json") }

// Operator speaks to the operator port.
func (s *Site) Operator() (api.Client, error) {
	if s.service == nil {
		return api.Client{}, errors.New("the service does not run")
	}
	token, err := os.ReadFile(filepath.Join(service.StateDir(s.repo.Dir()), service.TokenFile))
	return api.Client{URL: s.service.ports().Operators, Token: strings.TrimSpace(string(token)), HTTP: s.HTTP()}, err
}

// HTTP is a client for the operator port.
func (s *Site) HTTP() *http.Client { return s.web }

func (s *Site) ask(ctx context.Context, method, path string, in, out any) error {
	c, err := s.Operator()
	if err != nil {
		return err
	}
	return c.Do(ctx, method, path, in, out)
}
