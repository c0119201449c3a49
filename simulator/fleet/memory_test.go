package fleet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead/fairlead/firmware/durable"
)

// TestMemoryIsAsTheSystem: both file systems answer alike to what a unit asks of them.
func TestMemoryIsAsTheSystem(t *testing.T) {
	dir := t.TempDir()
	system, memory := ask(t, durable.System{}, dir), ask(t, newMemory(dir), dir)
	for i := range system {
		if system[i] != memory[i] {
			t.Errorf("the system: %s; memory: %s", system[i], memory[i])
		}
	}
}

// ask does what units do, and tells what came of it.
func ask(t *testing.T, on durable.FS, dir string) (said []string) {
	t.Helper()
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	kind := func(err error) string {
		for _, is := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrClosed, io.EOF} {
			if errors.Is(err, is) {
				return is.Error()
			}
		}
		return fmt.Sprint(err != nil)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	open := func(name string, flag int) durable.Handle {
		h, err := on.OpenFile(at(name), flag, 0o600)
		say("open %s %d: %s", name, flag, kind(err))
		return h
	}
	open("missing", os.O_RDONLY)
	open("no/folder", os.O_CREATE|os.O_WRONLY)
	say("mkdir: %s", kind(on.Mkdir(at("d"), 0o700)))
	say("again: %s", kind(on.Mkdir(at("d"), 0o700)))
	open("d", os.O_RDWR)

	a := open("d/a", os.O_CREATE|os.O_EXCL|os.O_RDWR)
	open("d/a", os.O_CREATE|os.O_EXCL|os.O_RDWR)
	n, err := a.Write([]byte("hello"))
	say("write: %d %s", n, kind(err))
	n, err = a.WriteAt([]byte("y!"), 6)
	say("behind the end: %d %s", n, kind(err))
	b := make([]byte, 16)
	n, err = a.ReadAt(b, 1)
	say("read at: %q %s", b[:n], kind(err))
	n, err = a.Read(b)
	say("read: %q %s", b[:n], kind(err))
	n, err = a.Read(b)
	say("at the end: %q %s", b[:n], kind(err))
	say("truncate: %s %s", kind(a.Truncate(3)), kind(a.Truncate(6)))
	say("mode: %s, sync %s, close %s", kind(a.Chmod(0o640)), kind(a.Sync()), kind(a.Close()))
	say("closed: %s", kind(a.Close()))
	_, err = a.Write([]byte("x"))
	say("write: %s", kind(err))

	c := open("d/a", os.O_APPEND|os.O_WRONLY)
	n, err = c.Write([]byte("more"))
	say("append: %d %s %s", n, kind(err), kind(c.Close()))
	temp, err := on.CreateTemp(at("d"), ".tmp-*")
	say("temp: %s %s", kind(err), filepath.Dir(temp.Name()))
	_, err = temp.Write([]byte("new"))
	say("write: %s, rename: %s", kind(err), kind(on.Rename(temp.Name(), at("d/a"))))
	info, err := temp.Stat()
	say("it goes on: %d %s %s", info.Size(), kind(err), kind(temp.Close()))
	say("rename: %s %s", kind(on.Rename(at("d/none"), at("d/b"))), kind(on.Rename(at("d/a"), at("none/b"))))
	content, err := durable.Disk{FS: on}.ReadFile(at("d/a"))
	say("content: %q %s", content, kind(err))

	for _, name := range []string{"d", "d/a", "missing"} {
		info, err := on.Stat(at(name))
		if say("stat %s: %s", name, kind(err)); err == nil {
			say("%s %v %v", info.Name(), info.Mode(), info.IsDir())
		}
	}
	open("d/z", os.O_CREATE|os.O_WRONLY).Close()
	entries, err := on.ReadDir(at("d"))
	say("folder: %s", kind(err))
	for _, e := range entries {
		say("%s %v", e.Name(), e.Type())
	}
	_, err = on.ReadDir(at("d/a"))
	say("no folder: %s; not empty: %s", kind(err), kind(on.Remove(at("d"))))
	say("remove: %s %s", kind(on.Remove(at("d/z"))), kind(on.Remove(at("d/z"))))
	say("all: %s %s", kind(on.RemoveAll(at("d"))), kind(on.RemoveAll(at("d"))))
	_, err = on.Stat(at("d/a"))
	say("gone: %s", kind(err))
	return said
}
