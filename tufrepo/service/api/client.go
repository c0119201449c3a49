package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
)

// Client talks to the operator port of a service.
type Client struct {
	URL   string // such as http://127.0.0.1:9443
	Token string
	HTTP  *http.Client // nil: one with a deadline of a minute
}

// Error is a refusal by the service.
type Error struct {
	Status  int
	Code    string // of package wire
	Message string
}

func (e *Error) Error() string { return e.Message }

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 64 << 20

// Do makes one request; in may be nil. path is below Prefix.
func (c Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("asking the service: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+Prefix+path, body)
	if err != nil {
		return fmt.Errorf("asking the service: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	hc := c.HTTP
	if hc == nil {
		hc = &http.Client{Timeout: time.Minute}
	}
	resp, err := hc.Do(req)
	if err != nil {
		return fmt.Errorf("asking the service at %s (is fairlead-repo serve running?): %w", c.URL, err)
	}
	defer resp.Body.Close()
	return read(resp, out)
}

func read(resp *http.Response, out any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		e, err := wire.DecodeError(b)
		if err != nil {
			return fmt.Errorf("the service answered %s without a reason: is this its operator port?", resp.Status)
		}
		return &Error{resp.StatusCode, e.Error.Code, e.Error.Message}
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	return nil
}
