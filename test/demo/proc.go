package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tool runs one of the built commands to its end and returns what it printed.
func (d *demo) tool(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, name), args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// daemon is a command that runs beside the demo, its output in a file.
type daemon struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan error
}

func (d *demo) start(name string, stdout *os.File, args ...string) (*daemon, error) {
	log := filepath.Join(d.dir, name+".log")
	errs, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	cmd := exec.Command(filepath.Join(d.bin, name), args...)
	cmd.Stdout, cmd.Stderr = errs, errs
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &daemon{name: name, cmd: cmd, log: log, done: make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// stop ends the daemon politely, and by force when it has not gone within ten seconds.
func (p *daemon) stop() error {
	if p == nil {
		return nil
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		p.done <- err
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() > 0 {
			return fmt.Errorf("%s ended with %w: see %s", p.name, err, p.log)
		}
		return nil
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		return fmt.Errorf("%s did not end within 10 s and was killed: see %s", p.name, p.log)
	}
}

// exited is an error once the daemon has ended by itself.
func (p *daemon) exited() error {
	if p == nil {
		return nil
	}
	select {
	case err := <-p.done:
		p.done <- err
		return fmt.Errorf("%s ended: %v: see %s", p.name, err, p.log)
	default:
		return nil
	}
}
