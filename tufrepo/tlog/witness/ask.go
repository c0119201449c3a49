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

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Collector asks the witnesses of a policy for cosignatures.
type Collector struct {
	Client *http.Client // its own timeout holds as well; nil means one that follows no redirects
	// Consistency shows that the tree of size to continues that of size from.
	Consistency func(ctx context.Context, from, to uint64) ([]firmware.Digest, error)
	// Known is the size that the witnesses have probably seen last; a wrong one
	// costs a second request.
	Known uint64
	// Patience is how long to wait for the quorum; 0 means 15 s. Grace is how
	// long to wait for the rest once it is met; 0 means 1 s.
	Patience, Grace time.Duration
	// Missed is told of each witness that is not there though the quorum is, and
	// why; nil tells nobody.
	Missed func(witness string, why error)
}

// asked is what came of one witness.
type asked struct {
	name  string
	lines []byte
	err   error
}

// collection is what has come of all.
type collection struct {
	names   []string         // that have cosigned
	lines   []byte           // of theirs
	missing map[string]error // why others have not; those that have not answered yet among them
}

// errNoAnswer says that a witness was not waited for.
var errNoAnswer = errors.New("it had not answered when the others had, and was not waited for")

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
	got := c.gather(p, answers)
	if !p.Enough(got.names) {
		var why error
		for _, w := range p.Witnesses {
			if err := got.missing[w.Name]; err != nil {
				why = errors.Join(why, fmt.Errorf("witness %s: %w", w.Name, err))
			}
		}
		return nil, fmt.Errorf("%w: the policy wants %s, and there are cosignatures of %q\n%w", tlog.ErrQuorum, p.Quorum(), got.names, why)
	}
	for _, w := range p.Witnesses {
		if err := got.missing[w.Name]; err != nil && c.Missed != nil {
			c.Missed(w.Name, err)
		}
	}
	return slices.Concat(checkpoint, got.lines), nil
}

// gather takes the answers, until all are there or the quorum is and its grace is over.
func (c Collector) gather(p *tlog.Policy, answers <-chan asked) collection {
	got := collection{missing: map[string]error{}}
	for _, w := range p.Witnesses {
		got.missing[w.Name] = errNoAnswer
	}
	grace := (<-chan time.Time)(nil)
	for range p.Witnesses {
		select {
		case a := <-answers:
			if got.missing[a.name] = a.err; a.err == nil {
				got.names, got.lines = append(got.names, a.name), append(got.lines, a.lines...)
			}
		case <-grace:
			return got
		}
		if grace == nil && p.Enough(got.names) {
			grace = time.After(orElse(c.Grace, time.Second))
		}
	}
	return got
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
	for again := false; ; again = true {
		lines, seen, err := c.post(ctx, w, checkpoint, old, to.Size)
		switch {
		case err != nil:
			return nil, err
		case lines != nil:
			return own(w, checkpoint, lines)
		case seen > to.Size:
			return nil, fmt.Errorf("it says that it has seen %d entries of the log, and there are only %d: an old copy of the log was put in place, or the witness errs", seen, to.Size)
		case seen == old && seen == to.Size:
			return nil, fmt.Errorf("it has cosigned another checkpoint of size %d: the log shows two faces", seen)
		case seen == old || again:
			return nil, fmt.Errorf("it is shown how the log continues %d entries, and answers that it has seen %d: it contradicts itself", old, seen)
		}
		old = seen
	}
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
	resp, err := c.client().Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, tlog.MaxProof+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading its answer: %w", err)
	}
	if len(text) > tlog.MaxProof {
		return nil, 0, fmt.Errorf("its answer has more than %d bytes", tlog.MaxProof)
	}
	seen, err := read(resp.StatusCode, text)
	if resp.StatusCode != http.StatusOK {
		text = nil
	}
	return text, seen, err
}

// client follows no redirects: the policy names the witness's address, and the witness is not to choose whom else we ask.
func (c Collector) client() *http.Client {
	if c.Client != nil {
		return c.Client
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// read takes an answer for what C2SP tlog-witness means by it: the size of a conflict, or what is wrong, and with whom to talk.
func read(status int, text []byte) (seen uint64, err error) {
	said := strings.TrimSpace(string(text))
	switch status {
	case http.StatusOK:
		return 0, nil
	case http.StatusConflict:
		digits, ended := strings.CutSuffix(string(text), "\n")
		seen, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || !ended || strconv.FormatUint(seen, 10) != digits {
			return 0, fmt.Errorf("it answers 409 Conflict and no size: %.100q", said)
		}
		return seen, nil
	case http.StatusNotFound:
		return 0, fmt.Errorf("it answers 404: it does not know the log, or does not live at this address; ask those who run it to add the log's line of the policy: %.200q", said)
	case http.StatusForbidden:
		return 0, fmt.Errorf("it answers 403: it knows the log with another key; have those who run it change that: %.200q", said)
	case http.StatusUnprocessableEntity:
		return 0, fmt.Errorf("it answers 422: the log does not continue what it has seen: %.200q", said)
	}
	return 0, fmt.Errorf("it answers %d %s: %.200q", status, http.StatusText(status), said)
}

// tolerance is how far the time of a cosignature may lie from ours. Devices may take it for a lower bound of time.
const tolerance = time.Hour

// own picks the witness's own signature out of its answer, verified.
func own(w tlog.Witness, checkpoint, lines []byte) ([]byte, error) {
	text, _, _ := bytes.Cut(checkpoint, []byte("\n\n"))
	n, err := note.Open(slices.Concat(text, []byte("\n\n"), lines), note.VerifierList(w.Verifier()))
	if err != nil {
		return nil, fmt.Errorf("it does not answer with its cosignature of this checkpoint: %w", err)
	}
	at, err := f_note.CoSigV1Timestamp(n.Sigs[0])
	if err != nil {
		return nil, fmt.Errorf("its cosignature has no time: %w", err)
	}
	if age := time.Since(at); age > tolerance || age < -tolerance {
		return nil, fmt.Errorf("its cosignature is of %s, and it is %s here: it answers with an old one, or one of the clocks is wrong",
			at.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	}
	signed, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs[:1]})
	if err != nil {
		return nil, err
	}
	return signed[len(n.Text)+1:], nil
}
