package client

import (
	"context"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
)

// Expected is the release that a device is about to ask for. It is a guess, and nobody is believed because of it.
type Expected struct {
	Path string // of the target
	// Length and SHA256 are of the manifest, as a direction names it; zero if that is not known.
	Length int64
	SHA256 firmware.Digest
	// Next, unless nil, is given the manifest as soon as it has come, if it has that length and hash, and may ask a source
	// for more. Nobody has verified that the release is genuine: what comes is to be kept in memory, if at all. ctx
	// is that of RefreshFor. It runs on a goroutine of its own, and must be quick.
	Next func(ctx context.Context, manifest *firmware.Manifest)
}

// RefreshFor is Refresh before Target and Manifest of a release are asked for: if the source is an AheadSource, what they
// need is asked for side by side. What it verifies, in which order, what it stores and how it fails is as for Refresh.
// ctx should end when the device is done with the release: what nobody took is dropped then.
func (c *Client) RefreshFor(ctx context.Context, e Expected) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := &expectation{Expected: e, ctx: ctx}
	if x.source, _ = c.trust.source.(AheadSource); x.source == nil {
		return c.refresh(ctx, x)
	}
	early, cancel := context.WithCancel(ctx)
	defer cancel() // an answer that this refresh did not want is none to another one
	x.source.Ahead(early, timestampName, 0, -1, nil)
	x.manifest(&c.trust)
	return c.refresh(ctx, x)
}

// expectation asks for what is expected; one without a source asks for nothing.
type expectation struct {
	Expected
	ctx    context.Context
	source AheadSource
}

// manifest asks for the manifest that a direction names, and when that is there for what follows it.
func (x *expectation) manifest(t *trust) {
	if x.SHA256.IsZero() || x.Length > firmware.MaxManifest {
		return
	}
	name, err := t.targetName(Target{Path: x.Path, Hashes: map[string]string{"sha256": x.SHA256.String()}})
	if err != nil {
		return
	}
	proof := ""
	if policy, err := t.floors.policy(); err == nil && policy != nil {
		proof = name + policy.ProofSuffix()
	}
	x.source.Ahead(x.ctx, name, 0, -1, func(raw []byte) bool {
		if int64(len(raw)) != x.Length || firmware.Sum(raw) != x.SHA256 {
			return false
		}
		if m, err := firmware.ParseManifest(raw); err == nil && x.Next != nil {
			x.Next(x.ctx, m)
		}
		if proof != "" {
			x.source.Ahead(x.ctx, proof, 0, -1, nil)
		}
		return true
	})
}

// role asks for the role that vouches for the release, which bears the product's name, beside the targets role.
func (x *expectation) role(s *set) {
	role, _, err := firmware.ParseTargetPath(x.Path)
	if x.source == nil || err != nil || role == metadata.TARGETS {
		return
	}
	want := s.tm.Snapshot.Signed.Meta[role+".json"]
	if want == nil {
		return
	}
	if raw := s.store.read(role, s.limits.file()); raw != nil && s.matches(role, raw, want) == nil {
		return // it is in the cache, as far as can be told
	}
	came := func(raw []byte) bool { return s.matches(role, raw, want) == nil }
	if want.Length > aheadRoom {
		came = nil
	}
	x.source.Ahead(x.ctx, s.fileName(role, want.Version), 0, -1, came)
}

// askProof asks for the proof that a release stands in the log, beside its manifest.
func (c *Client) askProof(ctx context.Context, t Target) {
	source, ok := c.trust.source.(AheadSource)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	policy, err := c.trust.floors.policy()
	if err != nil || policy == nil {
		return
	}
	if name, err := c.trust.targetName(t); err == nil {
		source.Ahead(ctx, name+policy.ProofSuffix(), 0, -1, nil)
	}
}
