package conduct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fairlead/fairlead/simulator/fleet"
)

// answerWait is how long a process may take for an answer.
const answerWait = 10 * time.Minute

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
	return fmt.Errorf("%w: %s ended by itself (%v) %s", errLost, c.name, ended, LastWords(c.log))
}

// maxWords is how much of what a broken process has written is told, in bytes.
const maxWords = 2000

// LastWords is what the log of a process that has ended says, to be told in an error.
func LastWords(path string) string {
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
