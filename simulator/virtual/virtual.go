package virtual

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// settings of a child's runtime: one processor, and nobody is interrupted in the midst of something.
var settings = []string{"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1," + customRand}

// Run carries a scenario out, as conduct.Run does, but that nothing can be injected, and agents log nothing. It takes as long as the
// machine takes for the work.
func Run(ctx context.Context, s *scenario.Scenario, o conduct.Options) (*report.Run, error) {
	r, err := run(ctx, s, o)
	if err != nil {
		err = fmt.Errorf("in virtual time: %w", err)
	}
	return r, err
}

func run(ctx context.Context, s *scenario.Scenario, o conduct.Options) (*report.Run, error) {
	text, err := s.Text()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(order{Scenario: string(text), Dir: o.Dir, Every: o.Every, Version: o.Version})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	listen, speak, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer listen.Close()
	log, err := os.OpenFile(filepath.Join(o.Dir, "virtual.log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(err, speak.Close())
	}
	defer log.Close()
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), settings...), childEnv+"="+string(b))
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{speak}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	hangUp, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err := errors.Join(err, speak.Close()); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { hangUp.Close() })
	defer stop()
	r, err := hear(bufio.NewReader(listen), o)
	ended := cmd.Wait()
	if r == nil && err == nil {
		err = fmt.Errorf("the run ended without a word (%v): %s", ended, conduct.LastWords(log.Name()))
	}
	return r, err
}

// hear follows what the child says, until it says no more.
func hear(in *bufio.Reader, o conduct.Options) (r *report.Run, err error) {
	for d := json.NewDecoder(in); ; {
		var w word
		if d.Decode(&w) != nil {
			return r, err
		}
		switch {
		case w.Say != "" && o.Say != nil:
			o.Say(w.Say)
		case w.Sample != nil && o.Sampled != nil:
			o.Sampled(*w.Sample)
		case w.Run != nil:
			r = w.Run
		case w.Error != "":
			err = errors.New(w.Error)
		}
	}
}
