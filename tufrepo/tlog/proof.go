package tlog

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	f_log "github.com/transparency-dev/formats/log"
	f_proof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/fairlead/fairlead/firmware"
)

// MaxProof is the most bytes that a proof, or a checkpoint, has.
const MaxProof = 16 << 10

// maxHashes is the longest way from an entry to the root: that of 2^63 entries.
const maxHashes = 63

// Checkpoint is what a log has signed: so many entries with this root.
type Checkpoint struct {
	Origin   string
	Size     uint64
	Root     firmware.Digest
	Cosigned []string // witnesses of the policy that cosigned it, by their names there
}

// parseCheckpoint reads the text of a note (C2SP tlog-checkpoint). Lines beyond
// the third mean nothing here.
func parseCheckpoint(text string) (Checkpoint, error) {
	var c f_log.Checkpoint
	rest, err := c.Unmarshal([]byte(text))
	if err != nil {
		return Checkpoint{}, err
	}
	if len(c.Hash) != sha256.Size || !bytes.Equal(append(c.Marshal(), rest...), []byte(text)) || c.Size>>63 != 0 {
		return Checkpoint{}, fmt.Errorf("the checkpoint of log %.80q is not in its one form", c.Origin)
	}
	return Checkpoint{Origin: c.Origin, Size: c.Size, Root: firmware.Digest(c.Hash)}, nil
}

// Proof is a C2SP tlog-proof.
type Proof struct {
	Index      uint64
	Hashes     []firmware.Digest
	Checkpoint []byte // the signed note, byte for byte
}

// ParseProof reads a proof. Extra data is refused: nobody would check it.
func ParseProof(raw []byte) (Proof, error) {
	if len(raw) > MaxProof {
		return Proof{}, fmt.Errorf("a log proof of %d bytes; at most %d are allowed", len(raw), MaxProof)
	}
	var f f_proof.TLogProof
	if err := f.Unmarshal(raw); err != nil {
		return Proof{}, fmt.Errorf("reading a log proof: %w", err)
	}
	p := Proof{Index: f.Index, Checkpoint: f.Checkpoint}
	for _, h := range f.Hashes {
		p.Hashes = append(p.Hashes, h)
	}
	if len(p.Hashes) > maxHashes {
		return Proof{}, fmt.Errorf("a log proof with %d hashes; at most %d are allowed", len(p.Hashes), maxHashes)
	}
	if !bytes.Equal(p.Encode(), raw) {
		return Proof{}, fmt.Errorf("a log proof that is not in its one form")
	}
	return p, nil
}

// Encode prints the proof.
func (p Proof) Encode() []byte {
	f := f_proof.TLogProof{Index: p.Index, Checkpoint: p.Checkpoint}
	for _, h := range p.Hashes {
		f.Hashes = append(f.Hashes, h)
	}
	return f.Marshal()
}

// Logged is what a proof that holds has shown.
type Logged struct {
	Checkpoint
	Index uint64
}

// Verify tells whether raw proves that entry stands in a log of the policy: one
// that it names has signed a checkpoint, its quorum has cosigned it, and the
// entry is in the tree of that root (RFC 6962, section 2.1.1).
func (p *Policy) Verify(entry, raw []byte) (Logged, error) {
	f, err := ParseProof(raw)
	if err != nil {
		return Logged{}, err
	}
	c, err := p.Checkpoint(f.Checkpoint)
	if err != nil {
		return Logged{}, err
	}
	hash := Hash(entry)
	hashes := make([][]byte, len(f.Hashes))
	for i := range f.Hashes {
		hashes[i] = f.Hashes[i][:]
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, f.Index, c.Size, hash[:], hashes, c.Root[:]); err != nil {
		return Logged{}, fmt.Errorf("the release is not entry %d of log %s: %w", f.Index, c.Origin, err)
	}
	return Logged{c, f.Index}, nil
}

// ProofSuffix is what the name of a proof has after that of its manifest.
func (p *Policy) ProofSuffix() string { return "." + p.ID() + ".tlog-proof" }

// ReadCheckpoint reads a signed checkpoint whose signatures nobody has looked
// at yet.
func ReadCheckpoint(raw []byte) (Checkpoint, error) {
	if len(raw) > MaxProof {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d bytes; at most %d are allowed", len(raw), MaxProof)
	}
	text, _, ok := bytes.Cut(raw, []byte("\n\n"))
	if !ok {
		return Checkpoint{}, errors.New("a checkpoint without signatures")
	}
	return parseCheckpoint(string(text) + "\n")
}
