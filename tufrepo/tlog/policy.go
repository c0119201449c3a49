package tlog

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/fairlead/fairlead/firmware"
)

// PolicyPath is the target of the top-level targets role that holds the policy.
const PolicyPath = "tlog-policy.txt"

// MaxPolicy is the most bytes that a policy has.
const MaxPolicy = 16 << 10

// most bounds logs, witnesses and groups, each.
const most = 32

// Log is a log that a policy believes.
type Log struct {
	Origin string // its name, and the first line of its checkpoints
	Key    string // vkey
	URL    string // empty if the policy has none

	verifier note.Verifier
}

// Witness is a witness that a policy names.
type Witness struct {
	Name string // within the policy
	Key  string // vkey
	URL  string // its submission prefix; empty if the policy has none

	verifier note.Verifier
}

// Verifier verifies the witness's cosignatures.
func (w Witness) Verifier() note.Verifier { return w.verifier }

// Verifier verifies the log's signatures.
func (l Log) Verifier() note.Verifier { return l.verifier }

// Policy says which checkpoints are believed.
type Policy struct {
	Logs      []Log
	Witnesses []Witness

	id     firmware.Digest
	quorum quorum // nil: no cosignature is asked for
}

// quorum is a witness or a group.
type quorum interface {
	// met tells whether the witnesses of these key hashes and names are enough.
	met(signed map[string]bool) bool
	words() string
}

type single string // a witness's name

func (s single) met(signed map[string]bool) bool { return signed[string(s)] }
func (s single) words() string                   { return string(s) }

type group struct {
	name    string
	need    int
	members []quorum
}

func (g *group) met(signed map[string]bool) bool {
	n := 0
	for _, m := range g.members {
		if m.met(signed) {
			n++
		}
	}
	return n >= g.need
}

func (g *group) words() string {
	text := fmt.Sprintf("%d of (", g.need)
	for i, m := range g.members {
		if i > 0 {
			text += ", "
		}
		text += m.words()
	}
	return text + ")"
}

// Required tells whether the policy asks for a proof: it does if it names a log.
func (p *Policy) Required() bool { return len(p.Logs) > 0 }

// ID names the policy in the names of its proofs: the first 16 hex digits of
// its SHA-256.
func (p *Policy) ID() string { return p.id.String()[:16] }

// Digest is the SHA-256 of the policy's file.
func (p *Policy) Digest() firmware.Digest { return p.id }

// Quorum says in words which witnesses must have cosigned.
func (p *Policy) Quorum() string {
	if p.quorum == nil {
		return "none"
	}
	return p.quorum.words()
}

// Enough tells whether the named witnesses make the quorum.
func (p *Policy) Enough(names []string) bool {
	signed := map[string]bool{}
	for _, n := range names {
		signed[n] = true
	}
	return p.quorum == nil || p.quorum.met(signed)
}

// Log finds the log of an origin.
func (p *Policy) Log(origin string) (Log, bool) {
	i := slices.IndexFunc(p.Logs, func(l Log) bool { return l.Origin == origin })
	if i < 0 {
		return Log{}, false
	}
	return p.Logs[i], true
}

func (p *Policy) verifiers() note.Verifiers {
	var list []note.Verifier
	for _, l := range p.Logs {
		list = append(list, l.verifier)
	}
	for _, w := range p.Witnesses {
		list = append(list, w.verifier)
	}
	return note.VerifierList(list...)
}

// Checkpoint verifies a checkpoint by the policy: signed by the log that it
// names, and cosigned by the quorum.
func (p *Policy) Checkpoint(raw []byte) (Checkpoint, error) {
	if len(raw) > MaxProof {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d bytes; at most %d are allowed", len(raw), MaxProof)
	}
	n, err := note.Open(raw, p.verifiers())
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by a log of the policy: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	log, known := p.Log(c.Origin)
	if !known || !signedBy(n, log.verifier) {
		return Checkpoint{}, fmt.Errorf("the checkpoint of log %.80q is not signed by a log of the policy under that name", c.Origin)
	}
	for _, w := range p.Witnesses {
		if signedBy(n, w.verifier) {
			c.Cosigned = append(c.Cosigned, w.Name)
		}
	}
	if !p.Enough(c.Cosigned) {
		return Checkpoint{}, fmt.Errorf("the checkpoint was cosigned by %q, and the policy wants %s: %w", c.Cosigned, p.Quorum(), ErrQuorum)
	}
	return c, nil
}

// ErrQuorum says that too few witnesses have cosigned.
var ErrQuorum = errors.New("too few witnesses")

// signedBy tells whether a note that note.Open has passed has v's signature.
func signedBy(n *note.Note, v note.Verifier) bool {
	return slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
}
