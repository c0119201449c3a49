package boot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// goldenGRUB is a block without its padding.
const goldenGRUB = "# GRUB Environment Block\nfl_committed=a\nfl_trial=b\nfl_tries=3\nfl_a=g\nfl_b=g\nfl_check=ab3gg\n"

var goldenRecord = record{Schema: 1, Committed: A, Trial: B, Tries: 3, A: SlotState{Bootable: true}, B: SlotState{Bootable: true}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fastDir is a folder in memory where there is one.
func fastDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fairlead-boot-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newGRUB is an environment in dir of two blocks.
func newGRUB(t testing.TB, dir string, block string) *grub {
	t.Helper()
	g := &grub{paths: [2]string{filepath.Join(dir, "env.0"), filepath.Join(dir, "env.1")}}
	for _, p := range g.paths {
		must(t, os.WriteFile(p, []byte(block+strings.Repeat("#", grubSize-len(block))), 0o600))
	}
	return g
}

func TestGoldenGRUB(t *testing.T) {
	dir := fastDir(t)
	g := newGRUB(t, dir, grubHead)
	must(t, g.save(goldenRecord.variables()))
	want := goldenGRUB + strings.Repeat("#", grubSize-len(goldenGRUB))
	for _, p := range g.paths {
		if b, err := os.ReadFile(p); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", p, b, err)
		}
	}
}

// A block of which only a part is new, up to any second byte, is refused, or is the old one, or the new one.
func TestTornBlockIsRefused(t *testing.T) {
	all := everyRecord()
	for _, old := range all {
		for _, now := range all {
			was, err := encodeGRUB(append(variables(old.variables()), variable{varCheck, variables(old.variables()).word()}))
			must(t, err)
			is, err := encodeGRUB(append(variables(now.variables()), variable{varCheck, variables(now.variables()).word()}))
			must(t, err)
			for n := len(grubHead); n < len(goldenGRUB); n += 2 {
				for _, rest := range [][]byte{was[n:], make([]byte, grubSize-n), bytes.Repeat([]byte{0xff}, grubSize-n)} {
					v, err := parseGRUB(append(slices.Clone(is[:n]), rest...))
					if err != nil || v.get(varCheck) != v.word() {
						continue
					}
					if r, err := v.record(); err == nil && r != old && r != now {
						t.Fatalf("%v torn at byte %d of %v was read as %v", now, n, old, r)
					}
				}
			}
		}
	}
}

// everyRecord is every state that there is.
func everyRecord() []record {
	var all []record
	for _, c := range []Slot{A, B} {
		for _, s := range []SlotState{{}, {Bootable: true}, {Failed: true}} {
			r := firstRecord(c)
			*r.slot(c.Other()) = s
			all = append(all, r)
		}
		for n := range maxTries + 1 {
			r := firstRecord(c)
			_ = r.try(c.Other(), n)
			all = append(all, r)
		}
	}
	return all
}

// Every state has a word, which scripts know it by, and every word is one state.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range everyRecord() {
		v := variables(r.variables())
		if back, err := v.record(); err != nil || back != r {
			t.Errorf("%+v, %v, want %+v", back, err, r)
		}
		seen[v.word()] = true
	}
	if len(seen) != 22 {
		t.Errorf("%d words", len(seen))
	}
	letters := []string{"", "a", "b", "n", "g", "f", "0", "7", "8", "aa"}
	for i := range 100_000 {
		v := variables{}
		for j, name := range stateVars {
			v = append(v, variable{name, letters[i/[]int{1, 10, 100, 1000, 10000}[j]%10]})
		}
		if _, err := v.record(); (err == nil) != seen[v.word()] || err == nil && len(v.word()) != 5 {
			t.Fatalf("%q: %v", v, err)
		}
	}
}

// tool finds a program of Debian's, or says that nothing was tested.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Logf("NOT TESTED: %s is missing: apt-get install %s", name, debian)
	}
	return path
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// names and values that people may give, and that the tools take.
var (
	anyName  = rapid.StringMatching(`[a-z][a-z0-9_.]{0,20}`)
	anyValue = rapid.StringMatching(`[ -~]{0,40}`)
)

func anyVariables(rt *rapid.T) variables {
	v := variables{}
	for _, name := range rapid.SliceOfNDistinct(anyName, 0, 8, rapid.ID[string]).Draw(rt, "names") {
		v = append(v, variable{name, anyValue.Draw(rt, "value")})
	}
	return v
}

// GRUB's own tool reads what the agent writes, and the agent what it writes; and a variable is set by both in the same bytes.
func TestGRUBEditenvAgrees(t *testing.T) {
	editenv := tool(t, "grub-editenv", "grub-common")
	if editenv == "" {
		return
	}
	path := filepath.Join(fastDir(t), "env")
	rapid.Check(t, func(rt *rapid.T) {
		v := append(variables(goldenRecord.variables()), anyVariables(rt)...)
		block, err := encodeGRUB(v)
		must(t, err)
		must(t, os.WriteFile(path, block, 0o600))
		var want strings.Builder
		for _, e := range v {
			want.WriteString(e.name + "=" + e.value + "\n")
		}
		if got := run(t, editenv, path, "list"); got != want.String() {
			rt.Fatalf("grub-editenv reads\n%s, want\n%s", got, want.String())
		}
		set := variable{anyName.Draw(rt, "name"), anyValue.Draw(rt, "value")}
		if rapid.Bool().Draw(rt, "ours") {
			set = variable{varTries, "0"}
		}
		if v.get(set.name) != "" && len(v.get(set.name)) != len(set.value) {
			return // GRUB moves what follows; the agent and the script never do
		}
		run(t, editenv, path, "set", set.name+"="+set.value)
		theirs, err := os.ReadFile(path)
		must(t, err)
		if !setGRUB(block, set) || !bytes.Equal(block, theirs) {
			rt.Fatalf("set %q: we\n%q\nthey\n%q", set, block, theirs)
		}
		back, err := parseGRUB(theirs)
		if err != nil || back.get(set.name) != set.value {
			rt.Fatalf("%q, %v", back, err)
		}
	})
}

// Any bytes are read as GRUB's tool reads them.
func TestGRUBReadsForeignBlocksAlike(t *testing.T) {
	editenv := tool(t, "grub-editenv", "grub-common")
	if editenv == "" {
		return
	}
	path := filepath.Join(fastDir(t), "env")
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`([a-c]{0,3}=?[a-c\\#]{0,4}\n){0,6}[a-c=#\\]{0,5}`).Draw(rt, "text")
		block := []byte(grubHead + text + strings.Repeat("#", grubSize-len(grubHead)-len(text)))
		must(t, os.WriteFile(path, block, 0o600))
		v, err := parseGRUB(block)
		must(t, err)
		var got strings.Builder
		for _, e := range v {
			got.WriteString(e.name + "=" + e.value + "\n")
		}
		if want := run(t, editenv, path, "list"); got.String() != want {
			rt.Fatalf("%q is\n%q, and for GRUB\n%q", text, got.String(), want)
		}
	})
}

// Whatever a block holds, it is refused or it is a state, and a variable that is set is then there.
func FuzzGRUB(f *testing.F) {
	f.Add([]byte(goldenGRUB))
	f.Add([]byte(grubHead + "a\\\nb=c\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseGRUB(data)
		if err != nil {
			return
		}
		if r, err := v.record(); err == nil {
			block, err := encodeGRUB(v.with(r.variables()...))
			if err != nil {
				return
			}
			back, err := parseGRUB(block)
			if again, err2 := back.record(); err != nil || err2 != nil || again != r {
				t.Fatalf("%+v, %v, %v, want %+v", again, err, err2, r)
			}
		}
		_ = setGRUB(data, variable{varTries, "1"})
	})
}
