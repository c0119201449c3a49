package boot

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
)

// words are all states, as docs/boot.md lists them.
var words = strings.Fields("an0gn an0gg an0gf bn0ng bn0gg bn0fg ab0gg ab1gg ab2gg ab3gg ab4gg ab5gg ab6gg ab7gg " +
	"ba0gg ba1gg ba2gg ba3gg ba4gg ba5gg ba6gg ba7gg")

// block is an environment block with a text.
func block(text string) []byte {
	b := append([]byte("# GRUB Environment Block\n"), text...)
	return append(b, bytes.Repeat([]byte("#"), 1024-len(b))...)
}

// letters are the variables of a word.
func letters(w string) string {
	return fmt.Sprintf("fl_committed=%c\nfl_trial=%c\nfl_tries=%c\nfl_a=%c\nfl_b=%c\n", w[0], w[1], w[2], w[3], w[4])
}

func state(w string) []byte { return block(letters(w) + "fl_check=" + w + "\n") }

// grubRows are every state; each after a cut between two copies; torn ones; lost ones; and what people may have made.
func grubRows() []row {
	var all []row
	add := func(name string, first, second []byte) { all = append(all, row{name, [2][]byte{first, second}}) }
	rnd := rand.New(rand.NewPCG(1, 1))
	for i, w := range words {
		add(w, state(w), state(w))
		next := words[(i+1)%len(words)]
		add(w+" then "+next, state(next), state(w))
		torn := append(state(next)[:26+rnd.IntN(70)], bytes.Repeat([]byte{0xff}, 1024)...)[:1024]
		add(w+" behind a torn one", torn, state(w))
		add(w+" before a torn one", state(w), torn)
		add(w+" behind zeros", make([]byte, 1024), state(w))
	}
	none, zeros := block(""), make([]byte, 1024)
	add("new", none, none)
	add("gone", zeros, zeros)
	for _, last := range []string{"a", "b", "c"} {
		l := block("fl_last=" + last + "\n")
		add("last resort was "+last, l, l)
		add("last resort was "+last+", second copy gone", l, zeros)
		add("last resort was "+last+", first copy gone", zeros, l)
		add("last resort was "+last+", first copy new", none, l)
	}
	add("last resorts that differ", block("fl_last=a\n"), block("fl_last=b\n"))
	add("check of another", block(letters("ab1gg")+"fl_check=ab2gg\n"), none)
	for _, w := range []string{"aa1gg", "ab8gg", "ab1gn", "an1gn", "cn0gg", "an0nn"} {
		add("impossible "+w, state(w), state(w))
	}
	add("twice the tries", block("fl_tries=1\n"+letters("ab2gg")+"fl_check=ab2gg\n"), none)
	add("no room for the count", append(state("ab2gg")[:1023], '\n'), zeros)
	add("no newline at the end", append(state("ab2gg")[:1023], 'x'), zeros)
	add("foreign variables", block("colour=red\n"+letters("ab2gg")+"x=fl_tries=1\\\n\nfl_check=ab2gg\nroot=hd9\n"), state("an0gn"))
	add("nearly full", block(letters("ab3gg")+"fl_check=ab3gg\n"+strings.Repeat("x=1\n", 200)), none)
	return all
}

func write(t testing.TB, dir string, r row) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for i, b := range r.copies {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("env.", i)), b, 0o644))
	}
}

func read(t testing.TB, dir string) (copies [2][]byte) {
	t.Helper()
	for i := range copies {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("env.", i)))
		must(t, err)
		copies[i] = b
	}
	return copies
}

// TestGRUBDoesAsTheModel runs the script in GRUB itself (its build for Linux, grub-emu), on a disk with a file system.
func TestGRUBDoesAsTheModel(t *testing.T) {
	if !need(t, "grub-emu grub-common e2fsprogs", "grub-emu", "grub-script-check", "mke2fs", "debugfs") {
		return
	}
	rows := grubRows()
	real := grubEmu(t, rows)
	counted := 0
	for i, r := range rows {
		dir := t.TempDir()
		write(t, dir, r)
		e, err := boot.OpenGRUB(dir, boot.EnvOptions{})
		must(t, err)
		slot, _ := e.Boot()
		model := outcome{slot, read(t, dir)}
		if real[i].slot != model.slot {
			t.Errorf("%s: GRUB starts slot %q, the model %q", r.name, real[i].slot, model.slot)
		}
		for n := range model.copies {
			if !bytes.Equal(real[i].copies[n], model.copies[n]) {
				t.Errorf("%s: GRUB leaves in env.%d\n%q, the model\n%q", r.name, n, real[i].copies[n], model.copies[n])
			}
			if !bytes.Equal(model.copies[n], r.copies[n]) {
				counted++
			}
		}
	}
	t.Logf("%d environments, %d blocks changed", len(rows), counted)
	if counted < 50 {
		t.Error("hardly anything was written: the test is blind")
	}
}

// grubEmu runs the script over all rows, one after the other.
func grubEmu(t *testing.T, rows []row) []outcome {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var cfg strings.Builder
	for i, r := range rows {
		write(t, at(fmt.Sprintf("fs/r%d", i)), r)
		fmt.Fprintf(&cfg, "set fl_dir=(hd0)/r%d\n%s\necho FL-%d-is-$fl_slot-\n", i, script(t, "grub: choose"), i)
	}
	cfg.WriteString("exit\n")
	must(t, os.Mkdir(at("grub"), 0o755))
	must(t, os.WriteFile(at("grub/grub.cfg"), []byte(cfg.String()), 0o644))
	run(t, time.Minute, "grub-script-check", at("grub/grub.cfg"))
	must(t, os.WriteFile(at("map"), []byte("(hd0) "+at("disk")+"\n"), 0o644))
	run(t, time.Minute, "mke2fs", "-q", "-t", "ext2", "-b", "1024", "-N", "1024", "-d", at("fs"), at("disk"), "8192")
	out := run(t, 2*time.Minute, "grub-emu", "-m", at("map"), "-d", at("grub"), "-r", "host")
	must(t, os.RemoveAll(at("fs")))
	must(t, os.Mkdir(at("fs"), 0o755))
	run(t, time.Minute, "debugfs", "-R", "rdump / "+at("fs"), at("disk"))
	var all []outcome
	for i := range rows {
		o := outcome{copies: read(t, at(fmt.Sprintf("fs/r%d", i)))}
		if m := regexp.MustCompile(fmt.Sprintf(`FL-%d-is-([^-]*)-`, i)).FindStringSubmatch(out); m != nil {
			o.slot = boot.Slot(m[1])
		}
		all = append(all, o)
	}
	return all
}

// TestGRUBScriptsAreWellFormed: the part that starts a kernel cannot run here.
func TestGRUBScriptsAreWellFormed(t *testing.T) {
	if !need(t, "grub-common", "grub-script-check") {
		return
	}
	path := filepath.Join(t.TempDir(), "grub.cfg")
	must(t, os.WriteFile(path, []byte(script(t, "grub: choose")+script(t, "grub: start")), 0o644))
	run(t, time.Minute, "grub-script-check", path)
	for _, w := range words {
		if !strings.Contains(script(t, "grub: choose"), " "+w) {
			t.Errorf("the script does not know the state %s", w)
		}
	}
}
