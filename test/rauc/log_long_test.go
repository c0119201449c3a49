//go:build long

package rauc

import (
	"encoding/hex"
	"strings"
	"testing"
)

type kind int

const (
	slotWrite kind = iota
	slotSync
	envCut // to no bytes
	envWrite
	envSync
)

// op is what was done to the slot or to the environment block.
type op struct {
	kind kind
	data []byte // of envWrite
}

func counts(ops []op) map[kind]int {
	c := map[kind]int{}
	for _, o := range ops {
		c[o.kind]++
	}
	return c
}

// parse reads strace's log. Calls that another thread's interrupt, <unfinished ...>, are none of ours: rauc's worker is
// alone with the slot, and waits for grub-editenv. Were one missed, the counts would show it.
func (s *system) parse(t *testing.T, log []byte) (ops []op) {
	slot, env := hexed(s.device), hexed(s.at("grubenv"))
	written := int64(0)
	for line := range strings.Lines(string(log)) {
		_, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		name, rest, _ := strings.Cut(call, "(")
		onSlot, onEnv := strings.Contains(before(rest, ">"), "<"+slot), strings.Contains(before(rest, ">"), "<"+env)
		switch {
		case name == "openat" && strings.Contains(rest, "O_TRUNC") && strings.Contains(rest, `"`+env+`"`):
			ops = append(ops, op{kind: envCut})
		case (name == "write" || name == "pwrite64") && onSlot:
			ops = append(ops, op{kind: slotWrite})
			written += int64(strings.Count(between(rest), `\x`)) // strace shows 2,048 bytes of each
		case name == "write" && onEnv:
			data, err := hex.DecodeString(strings.ReplaceAll(between(rest), `\x`, ""))
			check(t, err)
			ops = append(ops, op{kind: envWrite, data: data})
		case strings.HasSuffix(name, "sync") && onSlot:
			ops = append(ops, op{kind: slotSync})
		case strings.HasSuffix(name, "sync") && onEnv:
			ops = append(ops, op{kind: envSync})
		}
	}
	if written == 0 {
		t.Fatal("strace saw no byte written to the slot")
	}
	return ops
}

// hexed is a path as strace -xx writes it.
func hexed(path string) string {
	var b strings.Builder
	for i := range len(path) {
		b.WriteString(`\x` + hex.EncodeToString([]byte{path[i]}))
	}
	return b.String()
}

func before(text, mark string) string { head, _, _ := strings.Cut(text, mark); return head + mark }

// between is what stands in the first quotes.
func between(text string) string {
	_, rest, _ := strings.Cut(text, `"`)
	inside, _, _ := strings.Cut(rest, `"`)
	return inside
}
