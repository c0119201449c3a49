package signer

import "io"

// WriteText writes the record: the same text for the same bundle, whenever it is written, so that people can compare theirs.
func (c *Ceremony) WriteText(w io.Writer) error {
	var t text
	t.say("The ceremony of %s: root %d", c.Bundle, c.Root)
	t.say("It follows %s.", c.Base)
	t.say("Only the bundle counts; this page is made from it, anew by: fairlead-sign root next %s", c.Bundle)
	t.say("")
	t.say("WHAT IS SIGNED. Compare the digests with one another before you sign; signatures do not change them.")
	for _, f := range c.Files {
		t.say("  %s, valid until %s", f.Name, day(f.Expires))
		t.say("    SHA-256 of what is signed: %s", f.Digest)
		for _, line := range f.Changes {
			t.say("    %s", line)
		}
	}
	t.say("")
	t.say("WHO MAY DO WHAT then")
	for _, d := range c.Duties {
		t.say("  %s: %s", d.Person, d.words())
	}
	t.say("")
	t.say("STEPS; signatures in any order, the rest in this one")
	for i, s := range c.Steps {
		t.say("  %d. [%s] %s", i+1, tick(s.Done), s.What)
	}
	t.say("")
	c.nextText(&t)
	t.say("")
	t.say("AFTERWARDS")
	for _, line := range c.After {
		t.say("  %s", line)
	}
	return t.writeTo(w)
}

func tick(done bool) string {
	if done {
		return "x"
	}
	return " "
}

func (c *Ceremony) nextText(t *text) {
	t.say("NEXT")
	next := c.Next()
	switch {
	case len(c.Wrong) > 0:
		t.say("  This bundle cannot be published, whoever signs it:")
		for _, line := range c.Wrong {
			t.say("    %s", line)
		}
		t.say("  Make it again from the repository as it is now; signatures on this one are lost.")
	case next == nil:
		t.say("  Nothing: root %d is published.", c.Root)
	case len(next.Who) > 0:
		c.signText(t)
	default:
		t.say("  %s:", next.What)
		t.say("    %s", next.Do)
	}
}

// signText says who can sign now, and what for. One signing does all files that wait for the key.
func (c *Ceremony) signText(t *text) {
	var all []string
	seen := map[string]bool{}
	for _, s := range c.Steps {
		if s.Done || len(s.Who) == 0 {
			continue
		}
		for _, p := range s.Who {
			if !seen[p.ID] {
				seen[p.ID] = true
				all = append(all, p.String())
			}
		}
	}
	t.say("  Signatures are missing. %s: on your own machine, with your own key,", orList(all))
	t.say("    fairlead-sign sign %s --key KEY", c.Bundle)
	for _, f := range c.Files {
		for _, r := range f.Rules {
			if missing := r.Threshold - len(r.Signed); missing > 0 {
				t.say("  %s, as %s says, wants %d more of %s", f.Name, r.By, missing, names(c.marked(append(r.Open, r.Wrong...))))
			}
		}
	}
	t.say("  Whoever signed a copy sends it back, and one of you takes the signatures over:")
	t.say("    fairlead-sign merge %s COPY", c.Bundle)
}
