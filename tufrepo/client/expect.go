package client

import (
	"bytes"
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
	defer cancel() // a timestamp that this refresh did not want is none to another one
	if !x.manifest(&c.trust) {
		x.source.Ahead(early, timestampName, 0, -1, nil)
	}
	return c.refresh(ctx, x)
}

// expectation asks for what is expected, before what was verified is made durable; one without a source asks for nothing.
type expectation struct {
	Expected
	ctx    context.Context
	source AheadSource
}

// manifest asks for the manifest that a direction names, if one does, and when that is there for what follows it.
func (x *expectation) manifest(t *trust) bool {
	if x.SHA256.IsZero() || x.Length > firmware.MaxManifest {
		return false
	}
	name, err := t.targetName(Target{Path: x.Path, Hashes: map[string]string{"sha256": x.SHA256.String()}})
	if err != nil {
		return false
	}
	x.source.Ahead(x.ctx, name, 0, -1, func(raw []byte) bool {
		if int64(len(raw)) != x.Length || firmware.Sum(raw) != x.SHA256 {
			return false
		}
		if m, err := firmware.ParseManifest(raw); err == nil && x.Next != nil {
			x.Next(x.ctx, m)
		}
		return true
	})
	return true
}

// snapshot asks for the one that the timestamp names.
func (x *expectation) snapshot(s *set) {
	x.file(s, metadata.SNAPSHOT, s.tm.Timestamp.Signed.Meta[metadata.SNAPSHOT+".json"])
}

// roles asks for the targets role, and beside it for the one that vouches for the release, which bears the product's name.
func (x *expectation) roles(s *set) {
	x.file(s, metadata.TARGETS, s.tm.Snapshot.Signed.Meta[metadata.TARGETS+".json"])
	if product := x.product(); product != "" {
		x.file(s, product, s.tm.Snapshot.Signed.Meta[product+".json"])
	}
}

// product is the role of the release, by its path; empty if that is not one.
func (x *expectation) product() string {
	product, _, err := firmware.ParseTargetPath(x.Path)
	if err != nil || reserved(product) {
		return ""
	}
	return product
}

// file asks for metadata that its parent names, unless it is in the cache as far as can be told.
func (x *expectation) file(s *set, role string, want *metadata.MetaFiles) {
	if x.source == nil || want == nil {
		return
	}
	matches := func(raw []byte) bool { return s.matches(role, raw, want) == nil }
	if raw := s.store.read(role, s.limits.file()); raw != nil && matches(raw) {
		return
	}
	if want.Length > aheadRoom {
		matches = nil
	}
	x.source.Ahead(x.ctx, s.fileName(role, want.Version), 0, -1, matches)
}

// release asks for the manifest that a role names, and for the proof that it stands in the log.
func (x *expectation) release(s *set, role string) {
	if x.source == nil || role != x.product() || !x.SHA256.IsZero() {
		return
	}
	f := s.tm.Targets[role].Signed.Targets[x.Path]
	if f == nil || f.Length > firmware.MaxManifest {
		return
	}
	t := newTarget(x.Path, role, f)
	if name, err := s.targetName(t); err == nil {
		x.source.Ahead(x.ctx, name, 0, -1, func(raw []byte) bool { return t.Verify(bytes.NewReader(raw)) == nil })
	}
	if proof := s.proofName(t); proof != "" {
		x.source.Ahead(x.ctx, proof, 0, -1, nil)
	}
}

// proofName is where the proof lies that a release stands in the log; empty if none is asked for.
func (t *trust) proofName(of Target) string {
	policy, err := t.floors.policy()
	if err != nil || policy == nil {
		return ""
	}
	name, err := t.targetName(of)
	if err != nil {
		return ""
	}
	return name + policy.ProofSuffix()
}

// askProof asks for the proof that a release stands in the log, beside its manifest.
func (c *Client) askProof(ctx context.Context, t Target) {
	source, ok := c.trust.source.(AheadSource)
	if !ok {
		return
	}
	c.mu.Lock()
	proof := c.trust.proofName(t)
	c.mu.Unlock()
	if proof != "" {
		source.Ahead(ctx, proof, 0, -1, nil)
	}
}
