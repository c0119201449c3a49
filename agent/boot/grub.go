package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fairlead/fairlead/firmware/durable"
)

// grubSize is the length of an environment block; GRUB's own tools make it so.
const grubSize = 1024

// grubHead begins an environment block.
const grubHead = "# GRUB Environment Block\n"

// grubState is how far into the block our variables may reach: within the first sector, which a disk writes as a whole.
const grubState = 512

// grub keeps the environment in the files env.0 and env.1. GRUB goes by env.0 if that is whole, and else by env.1.
type grub struct {
	disk  durable.Disk
	paths [2]string
}

// OpenGRUB opens the environment of GRUB in dir, a folder of a file system that GRUB reads and writes. The files env.0
// and env.1 must be there, of 1024 bytes each, as grub-editenv makes them. It writes nothing.
func OpenGRUB(dir string, o EnvOptions) (*Env, error) {
	return newEnv(&grub{disk: o.Disk, paths: [2]string{filepath.Join(dir, "env.0"), filepath.Join(dir, "env.1")}}, o)
}

func (g *grub) load() (variables, error) {
	v, _, err := g.find()
	return v, err
}

// find also says which copy it is that the bootloader goes by.
func (g *grub) find() (variables, int, error) {
	var first variables // of the first copy that can be read at all, and what was the last resort by the second
	var torn error
	for n, path := range g.paths {
		block, err := g.read(path)
		if err != nil {
			return nil, 0, err
		}
		v, err := parseGRUB(block)
		if err == nil && v.get(varCheck) != v.word() {
			err = errors.New("its check does not match: it is torn, or new")
		}
		if err == nil {
			_, err = v.record()
		}
		if err == nil {
			return v, n, nil
		}
		if last := v.get(varLast); first != nil && last != "" {
			first = append(first, variable{varLast, last})
		} else if first == nil {
			first = v
		}
		torn = errors.Join(torn, fmt.Errorf("%s: %w", path, err))
	}
	return first, 0, fmt.Errorf("%w: %w", ErrLost, torn)
}

// read reads a block. A file of another length is not torn: nobody ever changes the length.
func (g *grub) read(path string) ([]byte, error) {
	f, err := g.disk.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: make it with grub-editenv %s create", err, path)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, grubSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) != grubSize {
		return nil, fmt.Errorf("%s does not have %d bytes, so it is no environment of GRUB: make one with grub-editenv %s create", path, grubSize, path)
	}
	return b, nil
}

// save writes over the bytes that are there, because the blocks of the file are what GRUB writes to, and because neither
// FAT nor an ext2 without a journal replaces a file in one step. The copy that holds is written last.
func (g *grub) save(v variables) error {
	block, err := encodeGRUB(append(v[:len(stateVars):len(stateVars)], append(variables{{varCheck, v.word()}}, v[len(stateVars):]...)...))
	if err != nil {
		return err
	}
	_, holds, err := g.find()
	if err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	for _, n := range []int{1 - holds, holds} {
		if err := overwrite(g.disk, g.paths[n], 0, block); err != nil {
			return err
		}
	}
	return nil
}

// play is save_env in both copies. As that does, it leaves a block that has no head, or no room, as it is.
func (g *grub) play(v variables) {
	if v.get(varLast) == "" {
		v = append(v, variable{varCheck, v.word()})
	}
	for _, path := range g.paths {
		block, err := g.read(path)
		if err != nil || !bytes.HasPrefix(block, []byte(grubHead)) {
			continue
		}
		ok := true
		for _, e := range v {
			ok = ok && setGRUB(block, e)
		}
		if f, err := g.disk.OpenFile(path, os.O_RDWR, 0); ok && err == nil {
			_, _ = f.WriteAt(block, 0)
			f.Close()
		}
	}
}

// parseGRUB reads a block as GRUB does.
func parseGRUB(block []byte) (variables, error) {
	rest, ok := bytes.CutPrefix(block, []byte(grubHead))
	if !ok {
		return nil, errors.New("no environment of GRUB")
	}
	v := variables{}
	for len(rest) > 0 {
		if rest[0] != '#' {
			equals := bytes.IndexByte(rest, '=')
			if equals < 0 {
				return v, nil
			}
			value := rest[equals+1:]
			end := lineGRUB(value)
			if end == len(value) {
				return v, nil
			}
			v = append(v, variable{string(rest[:equals]), unescapeGRUB(value[:end])})
			rest = value[end:]
		}
		rest = rest[min(lineGRUB(rest)+1, len(rest)):]
	}
	return v, nil
}

// lineGRUB finds the end of a line: a newline without a backslash before it.
func lineGRUB(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '\n':
			return i
		}
	}
	return len(b)
}

func unescapeGRUB(b []byte) string {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return string(out)
}

func escapeGRUB(s string) []byte {
	var out []byte
	for _, c := range []byte(s) {
		if c == '\\' || c == '\n' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return out
}

// encodeGRUB writes a block.
func encodeGRUB(v variables) ([]byte, error) {
	b := []byte(grubHead)
	for i, e := range v {
		b = append(append(append(append(b, e.name...), '='), escapeGRUB(e.value)...), '\n')
		if i <= len(stateVars) && len(b) > grubState {
			return nil, fmt.Errorf("writing the boot environment: the state does not fit into %d bytes", grubState)
		}
	}
	if len(b) > grubSize {
		return nil, fmt.Errorf("writing the boot environment: its variables take %d bytes, more than %d: remove some with grub-editenv", len(b), grubSize)
	}
	return append(b, bytes.Repeat([]byte{'#'}, grubSize-len(b))...), nil
}

// setGRUB sets a variable in a block as GRUB does, in its place if it has one; false if that cannot be done.
func setGRUB(block []byte, e variable) bool {
	space := len(bytes.TrimRight(block, "#"))
	if space == 0 || block[space-1] != '\n' {
		return false
	}
	line := append(append([]byte(e.name), '='), append(escapeGRUB(e.value), '\n')...)
	for at := len(grubHead); at < space; {
		end := min(at+lineGRUB(block[at:space])+1, space)
		if !bytes.HasPrefix(block[at:end], line[:len(e.name)+1]) {
			at = end
			continue
		}
		grown := len(line) - (end - at)
		if space+grown > len(block) {
			return false
		}
		tail := bytes.Clone(block[end:space])
		copy(block[at+copy(block[at:], line):], tail)
		for i := space + grown; i < space; i++ {
			block[i] = '#'
		}
		return true
	}
	if space+len(line) > len(block) {
		return false
	}
	copy(block[space:], line)
	return true
}

// overwrite puts bytes into a file or a device that is there, makes them durable and reads them back.
func overwrite(disk durable.Disk, path string, off int64, b []byte) error {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	durable.Forget(f)
	back := make([]byte, len(b))
	if _, err := f.ReadAt(back, off); err != nil {
		return fmt.Errorf("reading back the boot environment: %w", err)
	}
	if !bytes.Equal(back, b) {
		return fmt.Errorf("reading back the boot environment: %s does not hold what was written", path)
	}
	return nil
}
