package boot_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/agent/boot/boottest"
)

// kind is one kind of environment.
type kind struct {
	name  string
	make  func(t testing.TB, dir string) // what people make at the factory
	open  func(dir string, o boot.EnvOptions) (*boot.Env, error)
	files []string
}

const size = 1024 // of a copy of U-Boot's

var kinds = []kind{
	{"grub", func(t testing.TB, dir string) {
		for _, name := range []string{"env.0", "env.1"} {
			b := append([]byte("# GRUB Environment Block\n"), bytes.Repeat([]byte("#"), 1024-25)...)
			must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		}
	}, boot.OpenGRUB, []string{"env.0", "env.1"}},
	{"uboot", func(t testing.TB, dir string) {
		for _, name := range []string{"0", "1"} {
			must(t, os.WriteFile(filepath.Join(dir, name), make([]byte, 512+size), 0o600))
		}
	}, openUBoot, []string{"0", "1"}},
}

func openUBoot(dir string, o boot.EnvOptions) (*boot.Env, error) {
	return boot.OpenUBoot([2]boot.Place{{Path: filepath.Join(dir, "0"), Offset: 512}, {Path: filepath.Join(dir, "1")}}, size, o)
}

// device is one with an environment, which runs slot a. It came from the factory with an empty one.
type device struct {
	kind
	t       testing.TB
	dir     string
	tries   int
	running boot.Slot
}

func (k kind) device(t testing.TB, tries int) *device {
	d := &device{k, t, fastDir(t), tries, boot.A}
	k.make(t, d.dir)
	if slot := d.start(); slot != boot.A {
		t.Fatalf("slot %s was started at the factory", slot)
	}
	must(t, d.env().Commit(boot.A))
	return d
}

func (d *device) env() *boot.Env {
	d.t.Helper()
	e, err := d.open(d.dir, boot.EnvOptions{Tries: d.tries, Running: d.running})
	must(d.t, err)
	return e
}

func (d *device) start() boot.Slot {
	d.t.Helper()
	slot, err := d.env().Boot()
	if err != nil && !errors.Is(err, boot.ErrLost) {
		d.t.Error(err)
	}
	d.running = slot
	return slot
}

// asNow is the environment of a device, always as it runs.
type asNow struct{ d *device }

func (a asNow) State() (boot.State, error) { return a.d.env().State() }
func (a asNow) Forbid(s boot.Slot) error   { return a.d.env().Forbid(s) }
func (a asNow) Try(s boot.Slot) error      { return a.d.env().Try(s) }
func (a asNow) Commit(s boot.Slot) error   { return a.d.env().Commit(s) }
func (a asNow) Cancel() error              { return a.d.env().Cancel() }
func TestEnvConforms(t *testing.T) {
	for _, k := range kinds {
		for _, tries := range []int{1, 3} {
			t.Run(fmt.Sprint(k.name, tries), func(t *testing.T) {
				boottest.Run(t, func(t testing.TB) boottest.Rig {
					d := k.device(t, tries)
					return boottest.Rig{Boot: asNow{d}, Reboot: d.start, Tries: tries, Lose: func() { d.spoil(0); d.spoil(1) }}
				})
			})
		}
	}
}

// spoil flips a bit of the state in a copy.
func (d *device) spoil(n int) {
	path := filepath.Join(d.dir, d.files[n])
	b, err := os.ReadFile(path)
	must(d.t, err)
	i := bytes.Index(b, []byte("fl_a="))
	b[i+5] ^= 2
	must(d.t, os.WriteFile(path, b, 0o600))
}

// One copy that rots changes nothing: after each of the agent's steps both hold the same state.
func TestEitherCopyIsEnough(t *testing.T) {
	for _, k := range kinds {
		for n := range 2 {
			t.Run(fmt.Sprint(k.name, n), func(t *testing.T) {
				d := k.device(t, 2)
				for what, step := range []func() error{
					func() error { return d.env().Forbid(boot.B) },
					func() error { return d.env().Try(boot.B) },
					func() error { d.start(); return nil },
					func() error { return d.env().Commit(boot.B) },
					func() error { return d.env().Forbid(boot.A) },
				} {
					must(t, step())
					before, err := d.env().State()
					must(t, err)
					if what == 2 && k.name == "uboot" {
						continue // its script writes one copy; see TestOneTryMore
					}
					d.spoil(n)
					if after, err := d.env().State(); err != nil || after != before {
						t.Errorf("step %d: %+v, %v; it was %+v", what, after, err, before)
					}
				}
			})
		}
	}
}

// A count that U-Boot's script wrote and that is lost is one try more, and nothing else.
func TestOneTryMore(t *testing.T) {
	d := kinds[1].device(t, 2)
	must(t, d.env().Try(boot.B))
	d.start()
	before, err := d.env().State()
	must(t, err)
	d.spoil(1)
	after, err := d.env().State()
	before.TriesLeft++
	if err != nil || after != before {
		t.Errorf("%+v, %v, want %+v", after, err, before)
	}
}

// The state of a device that lost it is not guessed: slots are started in turn, until one of them repairs it.
func TestLastResortOfAnEnv(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			d := k.device(t, 1)
			d.spoil(0)
			d.spoil(1)
			for i, want := range []boot.Slot{boot.A, boot.B, boot.A, boot.B} {
				if slot := d.start(); slot != want {
					t.Fatalf("start %d: slot %s, want %s", i, slot, want)
				}
				if s, err := d.env().State(); err != nil || !s.Lost || s.Running != want {
					t.Fatalf("start %d: %+v, %v", i, s, err)
				}
			}
			if err := d.env().Commit(boot.A); !errors.Is(err, boot.ErrLost) {
				t.Errorf("slot a, which does not run: %v", err)
			}
			must(t, d.env().Commit(boot.B))
			if slot := d.start(); slot != boot.B {
				t.Errorf("slot %s after the repair of slot b", slot)
			}
		})
	}
}

// What people put into the environment stays there.
func TestForeignVariablesStay(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			d := k.device(t, 1)
			for _, name := range k.files {
				path := filepath.Join(d.dir, name)
				b, err := os.ReadFile(path)
				must(t, err)
				must(t, os.WriteFile(path, plant(k.name, b), 0o600))
			}
			must(t, d.env().Try(boot.B))
			for _, name := range k.files {
				b, err := os.ReadFile(filepath.Join(d.dir, name))
				must(t, err)
				if !bytes.Contains(b, []byte("colour=red")) || !bytes.Contains(b, []byte("fl_trial=b")) {
					t.Errorf("%s holds %q", name, b[:200])
				}
			}
		})
	}
}

func TestOpenEnvRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
		kind  int
		want  string
	}{
		{"no block", func(dir string) error { return os.Remove(dir + "/env.1") }, 0, "make it with grub-editenv"},
		{"long block", func(dir string) error { return os.WriteFile(dir+"/env.0", make([]byte, 4096), 0o600) }, 0, "does not have 1024 bytes"},
		{"short block", func(dir string) error { return os.Truncate(dir+"/env.0", 512) }, 0, "does not have 1024 bytes"},
		{"no device", func(dir string) error { return os.Remove(dir + "/0") }, 1, "no such file"},
		{"short device", func(dir string) error { return os.Truncate(dir+"/0", size) }, 1, "ends before byte 1536"},
		{"something else", func(dir string) error {
			for _, name := range []string{"/0", "/1"} {
				if err := os.WriteFile(dir+name, bytes.Repeat([]byte("a kernel "), 300), 0o600); err != nil {
					return err
				}
			}
			return nil
		}, 1, "are something else: check path, offset and size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := fastDir(t)
			kinds[c.kind].make(t, dir)
			must(t, c.spoil(dir))
			if _, err := kinds[c.kind].open(dir, boot.EnvOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	dir := fastDir(t)
	kinds[1].make(t, dir)
	at := func(path string, offset int64) boot.Place {
		return boot.Place{Path: filepath.Join(dir, path), Offset: offset}
	}
	for name, open := range map[string]func() (*boot.Env, error){
		"tries":   func() (*boot.Env, error) { return openUBoot(dir, boot.EnvOptions{Tries: 8}) },
		"running": func() (*boot.Env, error) { return openUBoot(dir, boot.EnvOptions{Running: "c"}) },
		"size": func() (*boot.Env, error) {
			return boot.OpenUBoot([2]boot.Place{at("0", 0), at("1", 0)}, 1000, boot.EnvOptions{})
		},
		"offset": func() (*boot.Env, error) {
			return boot.OpenUBoot([2]boot.Place{at("0", 1), at("1", 0)}, 512, boot.EnvOptions{})
		},
		"overlap": func() (*boot.Env, error) {
			return boot.OpenUBoot([2]boot.Place{at("0", 0), at("0", 512)}, 1024, boot.EnvOptions{})
		},
	} {
		if _, err := open(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
