package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Collector asks the witnesses of a policy for cosignatures.
type Collector struct {
	Client *http.Client // its own timeout holds as well; nil means http.DefaultClient
	// Consistency shows that the tree of size to continues that of size from.
	Consistency func(ctx context.Context, from, to uint64) ([]firmware.Digest, error)
	// Known is the size that the witnesses have probably seen last; a wrong one
	// costs a second request.
	Known uint64
	// Patience is how long to wait for the quorum; 0 means 15 s. Grace is how
	// long to wait for the rest once it is met; 0 means 1 s.
	Patience, Grace time.Duration
}

// asked is what came of one witness.
type asked struct {
	name  string
	lines []byte
	err   error
}

// Collect returns the checkpoint with the cosignatures of those witnesses of the
// policy that have an address. It fails if they are not the policy's quorum, and
// says of each that is missing why.
func (c Collector) Collect(ctx context.Context, p *tlog.Policy, checkpoint []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, orElse(c.Patience, 15*time.Second))
	defer cancel()
	answers := make(chan asked, len(p.Witnesses))
	for _, w := range p.Witnesses {
		go func() {
			lines, err := c.ask(ctx, w, checkpoint)
			answers <- asked{w.Name, lines, err}
		}()
	}
	var names []string
	var missing error
	result := slices.Clone(checkpoint)
	grace := (<-chan time.Time)(nil)
	for range p.Witnesses {
		select {
		case a := <-answers:
			if a.err != nil {
				missing = errors.Join(missing, fmt.Errorf("witness %s: %w", a.name, a.err))
				continue
			}
			names, result = append(names, a.name), append(result, a.lines...)
		case <-grace:
			return result, nil
		}
		if grace == nil && p.Enough(names) {
			grace = time.After(orElse(c.Grace, time.Second))
		}
	}
	if !p.Enough(names) {
		return nil, fmt.Errorf("%w: the policy wants %s, and there are cosignatures of %q\n%w", tlog.ErrQuorum, p.Quorum(), names, missing)
	}
	return result, nil
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

// ask asks once, and a second time if the witness has seen another size.
func (c Collector) ask(ctx context.Context, w tlog.Witness, checkpoint []byte) ([]byte, error) {
	if w.URL == "" {
		return nil, errors.New("the policy has no address of it")
	}
	to, err := tlog.ReadCheckpoint(checkpoint)
	if err != nil {
		return nil, err
	}
	old := min(c.Known, to.Size)
	for range 2 {
		lines, size, err := c.post(ctx, w, checkpoint, old, to.Size)
		if err != nil {
			return nil, err
		}
		if lines != nil {
			return own(w, checkpoint, lines)
		}
		if size > to.Size {
			return nil, fmt.Errorf("it has seen %d entries of the log, and there are only %d: an old copy of the log was put in place", size, to.Size)
		}
		old = size
	}
	return nil, fmt.Errorf("it has cosigned another checkpoint of size %d: the log shows two faces", old)
}

// post returns the answer's lines, or the size that the witness has seen.
func (c Collector) post(ctx context.Context, w tlog.Witness, checkpoint []byte, old, size uint64) ([]byte, uint64, error) {
	hashes, err := c.Consistency(ctx, old, size)
	if err != nil {
		return nil, 0, err
	}
	address, err := url.JoinPath(w.URL, "add-checkpoint")
	if err != nil {
		return nil, 0, err
	}
	body := Request{Old: old, Proof: hashes, Checkpoint: checkpoint}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	client := c.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, tlog.MaxProof))
	switch {
	case err != nil:
		return nil, 0, err
	case resp.StatusCode == http.StatusOK:
		return text, 0, nil
	case resp.StatusCode == http.StatusConflict:
		seen, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 63)
		return nil, seen, err
	}
	return nil, 0, fmt.Errorf("it answers %s: %.200q", resp.Status, strings.TrimSpace(string(text)))
}

// own picks the witness's own signature out of its answer, verified.
func own(w tlog.Witness, checkpoint, lines []byte) ([]byte, error) {
	text, _, _ := bytes.Cut(checkpoint, []byte("\n\n"))
	n, err := note.Open(slices.Concat(text, []byte("\n\n"), lines), note.VerifierList(w.Verifier()))
	if err != nil {
		return nil, fmt.Errorf("it does not answer with its cosignature: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs[:1]})
	if err != nil {
		return nil, err
	}
	return signed[len(n.Text)+1:], nil
}
