package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// qmp speaks to the emulator itself.
type qmp struct {
	net.Conn
	*json.Decoder
}

// dialQMP waits for the emulator to open its socket, as long as that is wanted.
func dialQMP(path string, wanted func() bool) (*qmp, error) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", path)
		if err == nil {
			q := &qmp{conn, json.NewDecoder(conn)}
			return q, q.do("qmp_capabilities", nil, nil)
		}
		if time.Since(began) > 20*time.Second || !wanted() {
			return nil, err
		}
	}
}

// do runs a command, and passes over what the emulator says beside its answer.
func (q *qmp) do(command string, arguments any, answer any) error {
	m := map[string]any{"execute": command}
	if arguments != nil {
		m["arguments"] = arguments
	}
	if err := json.NewEncoder(q.Conn).Encode(m); err != nil {
		return err
	}
	for {
		var said struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		if err := q.Decode(&said); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		switch {
		case said.Error != nil:
			return fmt.Errorf("%s: %s", command, said.Error.Desc)
		case said.Return != nil && answer != nil:
			return json.Unmarshal(said.Return, answer)
		case said.Return != nil:
			return nil
		}
	}
}

// save writes the state of the machine, memory and all, to a file, while the machine stands still.
func (q *qmp) save(path string) error {
	err := errors.Join(q.do("stop", nil, nil),
		q.do("migrate-set-parameters", map[string]any{"max-bandwidth": 1 << 40}, nil),
		q.do("migrate", map[string]any{"uri": "exec:cat >'" + path + "'"}, nil))
	if err != nil {
		return err
	}
	return errors.Join(q.until("query-migrate", "completed"), q.do("cont", nil, nil))
}

// load goes on from the file that the emulator was started with.
func (q *qmp) load() error {
	return errors.Join(q.until("query-status", "paused"), q.do("cont", nil, nil))
}

// until asks until the status is the wanted one.
func (q *qmp) until(command, want string) error {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		var s struct{ Status string }
		if err := q.do(command, nil, &s); err != nil || s.Status == want {
			return err
		}
		if s.Status == "failed" || time.Since(began) > 30*time.Second {
			return fmt.Errorf("%s: %q, want %q", command, s.Status, want)
		}
	}
}
