//go:build long

package rauc

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// tally is what a sweep has seen.
type tally struct{ cuts, media, half, lost int }

func (y *tally) add(z tally) {
	y.cuts, y.media, y.half, y.lost = y.cuts+z.cuts, y.media+z.media, y.half+z.half, y.lost+z.lost
}

// sweep cuts the power after each operation, on all that the medium may hold then.
func sweep(env []byte, target string, ops []op) (y tally) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range len(ops) + 1 {
		y.cuts++
		durable, pending := settle(ops[:n])
		for _, kept := range parts(len(pending), r) {
			for _, torn := range []bool{false, true} {
				m := medium{env: env}
				for _, o := range durable {
					m.apply(o, false)
				}
				for i, o := range pending {
					if kept[i] {
						m.apply(o, torn && i == len(pending)-1)
					}
				}
				y.media++
				y.judge(m, target, counts(ops)[slotWrite])
			}
		}
	}
	return y
}

// settle parts operations into those that a later sync of the same file has made durable, and those that are pending.
func settle(ops []op) (durable, pending []op) {
	syncedBy := func(k kind) kind {
		if k == slotWrite {
			return slotSync
		}
		return envSync
	}
	last := map[kind]int{}
	for i, o := range ops {
		last[o.kind] = i + 1
	}
	for i, o := range ops {
		switch {
		case o.kind == slotSync || o.kind == envSync:
		case last[syncedBy(o.kind)] > i:
			durable = append(durable, o)
		default:
			pending = append(pending, o)
		}
	}
	return durable, pending
}

// parts are the parts of n pending operations that are tried: each of them where there are few; else none, all, all but one
// end, and samples.
func parts(n int, r *rand.Rand) (out [][]bool) {
	if n <= 6 {
		for bits := range 1 << n {
			kept := make([]bool, n)
			for i := range kept {
				kept[i] = bits>>i&1 == 1
			}
			out = append(out, kept)
		}
		return out
	}
	fill := func(f func(i int) bool) {
		kept := make([]bool, n)
		for i := range kept {
			kept[i] = f(i)
		}
		out = append(out, kept)
	}
	fill(func(int) bool { return false })
	fill(func(int) bool { return true })
	fill(func(i int) bool { return i < n-1 })
	fill(func(i int) bool { return i > 0 })
	for range samples {
		fill(func(int) bool { return r.IntN(2) == 0 })
	}
	return out
}

// medium is what the machine starts from: the environment block, and how many of the slot's writes are there in full.
type medium struct {
	env  []byte
	slot int
}

func (m *medium) apply(o op, torn bool) {
	switch o.kind {
	case slotWrite:
		if !torn {
			m.slot++
		}
	case envCut:
		m.env = nil
	case envWrite:
		data := o.data
		if torn {
			data = append(bytes.Clone(data[:sector]), make([]byte, max(0, len(data)-sector))...)
			copy(data[sector:], m.env[min(sector, len(m.env)):])
		}
		m.env = data
	}
}

// judge asks what RAUC's selection in GRUB would: the first slot of ORDER that is OK and was not tried.
func (y *tally) judge(m medium, target string, all int) {
	vars := map[string]string{}
	if len(m.env) == envSize && bytes.HasPrefix(m.env, []byte("# GRUB Environment Block\n")) {
		for line := range strings.Lines(string(m.env)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				vars[name] = value
			}
		}
	}
	good := func(slot string) bool { return vars[slot+"_OK"] == "1" && vars[slot+"_TRY"] == "0" }
	if m.slot > 0 && m.slot < all && good(target) {
		y.half++
	}
	for _, slot := range strings.Fields(vars["ORDER"]) {
		if good(slot) {
			return
		}
	}
	y.lost++
}

// TestSweepSees: a sweep finds an installer that marks its slot before the image is durable, and one that cuts the
// environment to nothing; and has nothing to say of one that does neither.
func TestSweepSees(t *testing.T) {
	block := func(text string) []byte {
		b := append([]byte("# GRUB Environment Block\n"+text), bytes.Repeat([]byte("#"), envSize)...)
		return b[:envSize]
	}
	before, bad := block("ORDER=a b\na_OK=1\na_TRY=0\nb_OK=1\nb_TRY=0\n"), block("ORDER=a b\na_OK=1\na_TRY=0\nb_OK=0\nb_TRY=0\n")
	after := block("ORDER=b a\na_OK=1\na_TRY=0\nb_OK=1\nb_TRY=0\n")
	write, sync := op{kind: slotWrite}, op{kind: slotSync}
	mark := func(b []byte) []op { return []op{{kind: envWrite, data: b}, {kind: envSync}} }
	list := func(all ...[]op) (out []op) {
		for _, some := range all {
			out = append(out, some...)
		}
		return out
	}
	careful := list(mark(bad), []op{write, write, write, sync}, mark(after))
	hasty := list(mark(bad), []op{write, write, write}, mark(after), []op{sync})
	cutting := list([]op{{kind: envCut}}, mark(bad), []op{write, write, sync}, mark(after))
	for _, tt := range []struct {
		name       string
		ops        []op
		half, lost bool
	}{{"careful", careful, false, false}, {"hasty", hasty, true, false}, {"cutting", cutting, false, true}} {
		if y := sweep(before, "b", tt.ops); y.half > 0 != tt.half || y.lost > 0 != tt.lost {
			t.Errorf("%s: %+v", tt.name, y)
		}
	}
}
