package boot

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const testSize = 1024

func newUBoot(t testing.TB, dir string, first, second []byte) *uboot {
	t.Helper()
	path := filepath.Join(dir, "disk")
	must(t, os.WriteFile(path, slices.Concat(first, second), 0o600))
	return &uboot{copies: [2]Place{{path, 0}, {path, testSize}}, size: testSize}
}

func TestGoldenUBoot(t *testing.T) {
	b, err := encodeUBoot(goldenRecord.variables(), 7, testSize)
	must(t, err)
	want := "\x07fl_committed=a\x00fl_trial=b\x00fl_tries=3\x00fl_a=g\x00fl_b=g\x00\x00"
	if rest, ok := bytes.CutPrefix(b[4:], []byte(want)); !ok || bytes.Count(rest, []byte{0}) != len(rest) {
		t.Errorf("it is\n%s", hex.Dump(b))
	}
	if got := hex.EncodeToString(b[:5]); got != "6e7b50ff07" {
		t.Errorf("it begins with %s", got)
	}
	if c := parseUBoot(b); c.err != nil || c.flag != 7 || c.vars.word() != "ab3gg" {
		t.Errorf("%+v", c)
	}
}

// The sequence passes all of its values, twice; the state is always the newest one, and its older copy is what is replaced.
func TestFlagWraps(t *testing.T) {
	blank := make([]byte, testSize)
	u := newUBoot(t, fastDir(t), blank, blank)
	must(t, u.save(goldenRecord.variables()))
	for i := range 600 {
		r := goldenRecord
		r.Tries = i % (maxTries + 1)
		if i%3 == 0 {
			must(t, u.save(r.variables()))
		} else {
			u.play(r.variables())
		}
		v, err := u.load()
		if got, _ := v.record(); err != nil || got != r {
			t.Fatalf("change %d: %+v, %v, want %+v", i, got, err, r)
		}
	}
}

// A cut anywhere in a write leaves the copy that held before.
func TestTornCopyIsRefused(t *testing.T) {
	old, err := encodeUBoot(goldenRecord.variables(), 255, testSize)
	must(t, err)
	now := goldenRecord
	now.Tries = 1
	fresh, err := encodeUBoot(now.variables(), 0, testSize)
	must(t, err)
	before, err := encodeUBoot(goldenRecord.variables(), 254, testSize)
	must(t, err)
	for n := range testSize {
		for _, rest := range [][]byte{before[n:], make([]byte, testSize-n), bytes.Repeat([]byte{0xff}, testSize-n)} {
			torn := append(slices.Clone(fresh[:n]), rest...)
			u := newUBoot(t, fastDir(t), old, torn)
			v, err := u.load()
			r, err2 := v.record()
			if err != nil || err2 != nil || r != goldenRecord && r != now || r == now && !bytes.Equal(torn, fresh) {
				t.Fatalf("torn at byte %d: %+v, %v, %v", n, r, err, err2)
			}
		}
		if n > 100 {
			break // from here on everything is padding
		}
	}
}

// libubootenv's tools read what the agent writes, and the agent what they write, at every flag.
func TestFwSetenvAgrees(t *testing.T) {
	set := tool(t, "fw_setenv", "libubootenv-tool")
	if set == "" {
		return
	}
	dir := fastDir(t)
	blank := make([]byte, testSize)
	u := newUBoot(t, dir, blank, blank)
	config := filepath.Join(dir, "fw_env.config")
	path := u.copies[0].Path
	must(t, os.WriteFile(config, fmt.Appendf(nil, "%s 0 %#x\n%s %#x %#x\n", path, testSize, path, testSize, testSize), 0o600))
	flag := byte(0)
	rapid.Check(t, func(rt *rapid.T) {
		v := append(variables(goldenRecord.variables()), anyVariables(rt)...)
		flag += 5
		first, err := encodeUBoot(v, flag, testSize)
		must(t, err)
		second, err := encodeUBoot(goldenRecord.variables(), flag-1, testSize)
		must(t, err)
		if rapid.Bool().Draw(rt, "swap") {
			first, second = second, first
		}
		must(t, os.WriteFile(path, slices.Concat(first, second), 0o600))
		sameFw(t, rt, config, v)
		e := variable{anyName.Draw(rt, "name"), "x" + anyValue.Draw(rt, "value")}
		run(t, set, "-c", config, e.name, e.value)
		got, err := u.load()
		if err != nil || got.get(e.name) != e.value || got.get(varTries) != "3" {
			rt.Fatalf("after fw_setenv %q: %q, %v", e, got, err)
		}
		must(t, u.save(got))
		sameFw(t, rt, config, got)
	})
}

// sameFw compares what fw_printenv reads with what the agent does.
func sameFw(t *testing.T, rt *rapid.T, config string, v variables) {
	t.Helper()
	var want []string
	for _, e := range v {
		if e.value != "" {
			want = append(want, e.name+"="+e.value)
		}
	}
	got := strings.Split(strings.TrimSuffix(run(t, "fw_printenv", "-c", config), "\n"), "\n")
	got = slices.DeleteFunc(got, func(line string) bool { return strings.HasSuffix(line, "=") && strings.Count(line, "=") == 1 })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		rt.Fatalf("fw_printenv reads\n%q, want\n%q", got, want)
	}
}

// Of any two flags, libubootenv and the agent go by the same copy.
func TestEveryPairOfFlags(t *testing.T) {
	printenv := tool(t, "fw_printenv", "libubootenv-tool")
	if printenv == "" {
		return
	}
	dir := fastDir(t)
	for _, a := range []byte{0, 1, 2, 127, 128, 253, 254, 255} {
		for _, b := range []byte{0, 1, 2, 127, 128, 253, 254, 255} {
			first, err := encodeUBoot(variables{{"which", "first"}}, a, testSize)
			must(t, err)
			second, err := encodeUBoot(variables{{"which", "second"}}, b, testSize)
			must(t, err)
			u := newUBoot(t, dir, first, second)
			config := filepath.Join(dir, "fw_env.config")
			path := u.copies[0].Path
			must(t, os.WriteFile(config, fmt.Appendf(nil, "%s 0 %#x\n%s %#x %#x\n", path, testSize, path, testSize, testSize), 0o600))
			v, err := u.load()
			must(t, err)
			if got := run(t, printenv, "-c", config, "-n", "which"); strings.TrimSpace(got) != v.get("which") {
				t.Errorf("flags %d and %d: we go by the %s, they by the %s", a, b, v.get("which"), got)
			}
		}
	}
}

// Whatever a copy holds, it is refused or what it says is written again as it was.
func FuzzUBoot(f *testing.F) {
	b, err := encodeUBoot(goldenRecord.variables(), 7, minUBoot)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(make([]byte, minUBoot))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < minUBoot {
			return
		}
		c := parseUBoot(data)
		if c.err != nil {
			return
		}
		again, err := encodeUBoot(c.vars, c.flag, int64(len(data)))
		if err != nil {
			return
		}
		if back := parseUBoot(again); back.err != nil || !slices.Equal(back.vars, c.vars) {
			t.Fatalf("%q, %v, want %q", back.vars, back.err, c.vars)
		}
	})
}
