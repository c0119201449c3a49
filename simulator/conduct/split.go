package conduct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead/fairlead/simulator/fleet"
)

// errLost: a process of the fleet has ended, and its units with it.
var errLost = errors.New("a part of the fleet is lost")

// MaxProcesses bounds Options.Processes.
const MaxProcesses = 64

// answerWait is how long a process may take for an answer.
const answerWait = 10 * time.Minute

// split is a herd in several processes.
type split struct {
	parts   []*child
	bricked []string
	last    counters
}

// child is the run's side of the conversation with one process.
type child struct {
	mouth
	name    string // for people
	part    fleet.Part
	cmd     *exec.Cmd
	in      io.Closer
	log     string // file of what it says on standard error
	observe func(fleet.Event)

	turn    sync.Mutex // one question at a time
	answers chan answer
	gone    chan struct{} // closed when it has ended
	err     error         // why, then
	counts  counters      // as it was told last
}

// newSplit starts the processes and has them make their units.
func newSplit(ctx context.Context, o order, processes int, observe func(fleet.Event)) (*split, error) {
	s := &split{}
	if err := os.MkdirAll(o.Place.Dir, 0o700); err != nil {
		return nil, err
	}
	var g errgroup.Group
	for i := range processes {
		o.Part = fleet.Part{At: i, Of: processes}
		c, err := startChild(o, observe)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.parts = append(s.parts, c)
		g.Go(func() error { _, err := c.answer(ctx); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func startChild(o order, observe func(fleet.Event)) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{
		name: fmt.Sprintf("process %d of %d of the fleet", o.Part.At+1, o.Part.Of), part: o.Part, observe: observe, cmd: exec.Command(self),
		log: filepath.Join(o.Place.Dir, fmt.Sprintf("process-%d.log", o.Part.At+1)), answers: make(chan answer), gone: make(chan struct{}),
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), childEnv+"=1"), log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	c.in, c.mouth.out = in, json.NewEncoder(in)
	go c.listen(out)
	if err := c.say(o); err != nil {
		c.end()
		return nil, c.err
	}
	return c, nil
}

// listen hears what the process says until it says no more.
func (c *child) listen(out io.Reader) {
	said, e := "", newEar(out)
	var err error
	for err == nil {
		var w word
		if err = e.hear(&w); err != nil {
			break
		}
		switch {
		case w.Event != nil && c.part.Has(w.Unit):
			w.Event.Number = w.Unit
			c.observe(*w.Event)
		case w.Answer != nil:
			c.answers <- *w.Answer
		case w.Error != "":
			said = w.Error
		}
	}
	if !errors.Is(err, io.EOF) {
		_ = c.cmd.Process.Kill() // nobody reads on
	}
	c.err = c.why(said, err, c.cmd.Wait())
	close(c.gone)
}

// why a process has ended, in words.
func (c *child) why(said string, heard, ended error) error {
	switch {
	case said != "":
		return fmt.Errorf("%w: %s: %s", errLost, c.name, said)
	case !errors.Is(heard, io.EOF):
		return fmt.Errorf("%w: %s: %w", errLost, c.name, heard)
	}
	return fmt.Errorf("%w: %s ended by itself (%v) %s", errLost, c.name, ended, lastWords(c.log))
}

// maxWords is how much of what a broken process has written is told, in bytes.
const maxWords = 2000

func lastWords(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(b))
	return text[:min(len(text), maxWords)]
}

// ask asks a question and waits for the answer.
func (c *child) ask(ctx context.Context, q question) (answer, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := c.say(q); err != nil {
		c.end()
		return answer{}, c.err
	}
	return c.answer(ctx)
}

func (c *child) answer(ctx context.Context) (answer, error) {
	late := time.NewTimer(answerWait)
	defer late.Stop()
	select {
	case a := <-c.answers:
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s", c.name, a.Error)
		}
		return a, nil
	case <-c.gone:
		return answer{}, c.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-late.C:
		return answer{}, fmt.Errorf("%w: %s does not answer", errLost, c.name)
	}
}

// end ends a process that is of no use any more.
func (c *child) end() {
	_ = c.cmd.Process.Kill()
	c.await()
}

// await waits for the end of a process whom nobody asks anything any more.
func (c *child) await() {
	for {
		select {
		case <-c.answers:
		case <-c.gone:
			return
		}
	}
}

// all asks every process at once. An answer is never thrown away: who has asked waits for it.
func (s *split) all(q func(c *child) question, take func(*child, answer)) error {
	answers, errs := make([]answer, len(s.parts)), make([]error, len(s.parts))
	var done sync.WaitGroup
	for i, c := range s.parts {
		done.Go(func() { answers[i], errs[i] = c.ask(context.Background(), q(c)) })
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, c := range s.parts {
		take(c, answers[i])
	}
	return nil
}

func same(q question) func(*child) question { return func(*child) question { return q } }

func nothing(*child, answer) {}

func (s *split) live(ctx context.Context) error {
	if err := s.all(same(question{Live: true}), nothing); err != nil {
		return err
	}
	lost := make(chan error, len(s.parts))
	for _, c := range s.parts {
		go func() {
			select {
			case <-c.gone:
				lost <- c.err
			case <-ctx.Done():
			}
		}()
	}
	select {
	case err := <-lost:
		return err
	case <-ctx.Done():
	}
	var bricks []error
	err := s.all(same(question{Off: true}), func(_ *child, a answer) {
		if a.Bricks != "" {
			bricks = append(bricks, errors.New(a.Bricks))
		}
	})
	return errors.Join(append(bricks, err)...)
}

// counts keeps what was counted of a process that is gone: it is told elsewhere that it is.
func (s *split) counts() counters {
	var sum counters
	err := s.all(same(question{Counts: true}), func(_ *child, a answer) {
		if a.Counts != nil {
			sum.add(*a.Counts)
		}
	})
	if err == nil {
		s.last = sum
	}
	return s.last
}

func (c *counters) add(o counters) {
	c.Received, c.Sent, c.Connections, c.Open = c.Received+o.Received, c.Sent+o.Sent, c.Connections+o.Connections, c.Open+o.Open
	c.CPU, c.Mem, c.Late = c.CPU+o.CPU, c.Mem+o.Mem, max(c.Late, o.Late)
}

func (s *split) up(at time.Time) error { return s.all(same(question{Up: &at}), nothing) }

func (s *split) touch(units []int, e event) error {
	e.When = nil
	return s.all(func(c *child) question {
		own := slices.DeleteFunc(slices.Clone(units), func(n int) bool { return !c.part.Has(n) })
		return question{Event: &e, Units: own}
	}, nothing)
}

func (s *split) look() (findings, error) {
	f := findings{Version: map[int]string{}, Received: map[int]int64{}}
	err := s.all(same(question{Look: true}), func(_ *child, a answer) {
		if a.Findings != nil {
			maps.Copy(f.Version, a.Findings.Version)
			maps.Copy(f.Received, a.Findings.Received)
			f.Bricks = append(f.Bricks, a.Findings.Bricks...)
		}
	})
	return f, err
}

// close has the processes come to their end.
func (s *split) close() error {
	for _, c := range s.parts {
		_ = c.in.Close() // one that is gone has closed it
	}
	for _, c := range s.parts {
		late := time.AfterFunc(answerWait, func() { _ = c.cmd.Process.Kill() })
		c.await()
		late.Stop()
	}
	return nil
}
