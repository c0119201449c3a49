package conduct

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/fairlead/fairlead/simulator/fleet"
)

// What a run and a process of its fleet say to each other: JSON objects, one a line, of at most maxLine bytes. The process reads an order and
// then questions, one at a time; it says an answer to each of them in their order, and what its units do in between.

// maxLine is about what 50,000 units of which each is a brick need.
const maxLine = 32 << 20

// order is what a process is to have.
type order struct {
	Scenario string     `json:"scenario"` // YAML
	Part     fleet.Part `json:"part"`
	Place    place      `json:"place"`
}

// question is one of its members, and what stands beside it.
type question struct {
	Live   bool       `json:"live,omitempty"`   // power the units on
	Up     *time.Time `json:"up,omitempty"`     // the fleet has come up
	Counts bool       `json:"counts,omitempty"` // how much so far?
	Event  *event     `json:"event,omitempty"`  // let it happen to Units
	Units  []int      `json:"units,omitempty"`
	Off    bool       `json:"off,omitempty"`  // power them off
	Look   bool       `json:"look,omitempty"` // what is on the disks?
}

// word is what a process says: a unit's event, an answer, or why it ends.
type word struct {
	Unit   int          `json:"unit,omitempty"`
	Event  *fleet.Event `json:"event,omitempty"`
	Answer *answer      `json:"answer,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// answer has what was asked for. The first one, to the order, has nothing: the units are made.
type answer struct {
	Counts   *counters `json:"counts,omitempty"`
	Findings *findings `json:"findings,omitempty"`
	Bricks   string    `json:"bricks,omitempty"` // of off: units that did not start, in words
	Error    string    `json:"error,omitempty"`
}

// mouth writes lines, from several goroutines.
type mouth struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (m *mouth) say(v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Encode(v)
}

// ear reads lines.
type ear struct{ lines *bufio.Scanner }

func newEar(in io.Reader) ear {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	return ear{lines}
}

// hear reads the next line into v; io.EOF if there is none.
func (e ear) hear(v any) error {
	if !e.lines.Scan() {
		if err := e.lines.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if err := json.Unmarshal(e.lines.Bytes(), v); err != nil {
		return fmt.Errorf("a line that is none of ours: %w", err)
	}
	return nil
}
