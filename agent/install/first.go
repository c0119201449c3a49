package install

import "github.com/fairlead/fairlead/firmware"

// Part is bytes of a file at the source.
type Part struct {
	Name           string
	Offset, Length int64
}

// First tells what a Run of p is going to ask for at first, so that it can be asked for ahead of the Run. It needs
// Manifest, Base, BaseImage, Journal, Disk and Limits. The manifest need not be verified for this: nothing is asked for
// or written. It is a guess; a Run that finds things otherwise asks for something else.
func First(p Plan) []Part {
	r := &run{Plan: p.withDefaults()}
	c := r.patch()
	if c == nil {
		c = r.artifact()
	}
	var parts []Part
	if all := r.whole(c); r.wanting(c) {
		parts = append(parts, Part{c.name(), 0, r.headRequest(c, all)})
	}
	if m := p.Manifest.Chunks; m != nil && !r.whole(c) {
		if found := (&carrier{what: "chunks", Framed: *m}); r.wanting(found) {
			parts = append(parts, Part{found.name(), 0, m.Head.Length})
		}
	}
	return parts
}

// wanting says whether the head of c has to be fetched, and may be.
func (r *run) wanting(c *carrier) bool {
	return c.Head.Length > 0 && c.Head.Length <= min(c.Length, firmware.MaxHead) && r.kept(c) == nil
}
