package virtual

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/simulator/conduct"
	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
)

// childGC lets the heap grow more than usual between collections: a run is short, and wants its one processor. More than this took
// memory and saved no time.
const childGC = 400

// Child carries out what it was ordered, and ends the program, where that was started to do so. Otherwise it returns at once.
func Child() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	// A terminal's interrupt goes to the whole group: the parent says when the run ends.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	debug.SetGCPercent(childGC)
	c := &child{out: json.NewEncoder(os.NewFile(3, "parent"))}
	go c.hear(os.Stdin)
	testing.Main(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "virtual", F: func(t *testing.T) {
		if err := c.carryOut(t, text); err != nil {
			c.tell(word{Error: err.Error()})
		}
	}}}, nil, nil)
}

// child is the run's side of the conversation.
type child struct {
	mu     sync.Mutex
	out    *json.Encoder
	hangUp atomic.Bool // the parent wants no more
}

// hear waits for the end of standard input. It is outside of the bubble, and may touch nothing in it but a flag.
func (c *child) hear(in io.Reader) {
	_, _ = io.Copy(io.Discard, in)
	c.hangUp.Store(true)
}

func (c *child) tell(w word) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(w) // a parent that is gone has killed this process
}

func (c *child) carryOut(t *testing.T, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	s, err := scenario.Parse([]byte(o.Scenario), "order", ".")
	if err != nil {
		return err
	}
	seedDice(s.Seed)
	synctest.Test(t, func(t *testing.T) { err = c.run(t.Context(), s, o) })
	return err
}

// run is what happens within the bubble.
func (c *child) run(ctx context.Context, s *scenario.Scenario, o order) error {
	time.Sleep(time.Until(Began))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := conduct.Run(ctx, s, conduct.Options{
		Dir: o.Dir, Every: o.Every, Version: o.Version, Virtual: true,
		Say: func(line string) {
			c.tell(word{Say: fmt.Sprintf("%s  %s", time.Now().UTC().Format("Jan _2 15:04:05"), line)})
		},
		Sampled: func(sample report.Sample) {
			c.tell(word{Sample: &sample})
			if c.hangUp.Load() {
				cancel()
			}
		},
	})
	if r != nil {
		c.tell(word{Run: r})
	}
	return err
}
