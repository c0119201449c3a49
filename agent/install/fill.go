package install

import (
	"context"
	"errors"
	"fmt"
)

// fill writes every frame that is not there: from the patch as far as it goes, if there is one, the rest from the artifact.
func (r *run) fill(ctx context.Context) error {
	bad, err := r.fillFrom(ctx, r.c)
	if r.c.isPatch() && (err == nil || errors.Is(err, errHopeless) || unusable(err)) {
		bad, err = r.fillRest(ctx, err)
	}
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return errors.Join(bad...)
	}
	return r.checkpoint()
}

// fillFrom brings what c has into the slot, and once more the frames that the source gave wrong. Those that were wrong
// twice are in bad.
func (r *run) fillFrom(ctx context.Context, c *carrier) (bad []error, err error) {
	if !c.isPatch() {
		if err := r.keepHeld(ctx, c); err != nil {
			return nil, err
		}
		if err := r.fillFound(ctx, c); err != nil {
			return nil, err
		}
	}
	for range 2 {
		todo := r.todo(c)
		if len(todo) == 0 {
			return nil, nil
		}
		if bad, err = r.pass(ctx, c, todo); err != nil {
			return nil, err
		}
		for _, err := range bad {
			r.Log.Warn("the source gave a wrong frame", "of", c.what, "err", err)
		}
	}
	return bad, nil
}

// fillRest brings what the patch did not bring. If the patch is of no use any more, why, the artifact takes its place.
func (r *run) fillRest(ctx context.Context, why error) (bad []error, err error) {
	if r.done.covers(Extent{0, r.Manifest.Image.Length}) {
		return nil, nil
	}
	c := r.artifact()
	defer c.close()
	if err := r.load(ctx, c, why != nil); err != nil {
		return nil, err
	}
	r.keep(c)
	r.Log.Warn("the patch does not bring all of the image, the artifact does", "bytes", r.Manifest.Image.Length-r.done.total(), "err", why)
	if why != nil {
		r.c.close()
		r.c, r.proof = c, 0
	}
	if err := r.allocate(c); err != nil {
		return nil, err
	}
	return r.fillFrom(ctx, c)
}

// errHopeless: the base is not what the patch expects, in too many places.
var errHopeless = errors.New("the patch does not fit the base")

// someRefused is how many frames of a patch must be refused before the patch may be given up.
const someRefused = 4

// refuse leaves a frame that the base does not make to the artifact. When it is likely that this costs more than the rest of
// the artifact, the patch is given up.
func (r *run) refuse(c *carrier, e Extent, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = r.refused.with(e)
	refused := r.refused.total()
	share := float64(refused) / float64(refused+r.res.Patched)
	// A frame of the artifact is the larger one, so that more is fetched than what is missing.
	cost := float64(c.Length)/float64(r.Manifest.Artifact.Length) + 2*share
	r.Log.Warn("the base is not what the patch expects", "byte", e.Offset, "err", err)
	if refused >= someRefused*int64(c.head.FrameSize()) && cost >= 1 {
		return fmt.Errorf("%w: %d of %d bytes cannot be made", errHopeless, refused, refused+r.res.Patched)
	}
	return nil
}

func (r *run) patched(e Extent) {
	r.mu.Lock()
	r.res.Patched += e.Length
	r.mu.Unlock()
}

// todo lists the frames of c that are to be brought from it.
func (r *run) todo(c *carrier) []int {
	var todo []int
	ahead := int64(0)
	for i := range c.head.Len() {
		f := c.head.Frame(i)
		e := Extent{f.At, f.Length}
		if r.done.covers(e) || c.isPatch() && r.refused.covers(e) {
			continue
		}
		todo = append(todo, i)
		ahead += f.Stored
	}
	r.ahead = r.fetched.Load() + ahead
	return todo
}
