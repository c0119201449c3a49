package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/firmware/durable"
)

// Sizes of an environment, in bytes.
const (
	minUBoot  = 512
	maxUBoot  = 1 << 20
	headUBoot = 5 // CRC-32, little-endian, of what follows the flag; the flag
)

// Place is where one copy of an environment of U-Boot lies.
type Place struct {
	Path   string // of a device or a file
	Offset int64  // in it, in bytes
}

// uboot keeps the environment in two copies, in U-Boot's redundant format. The one whose flag is the later is gone by.
type uboot struct {
	disk   durable.Disk
	copies [2]Place
	size   int64
}

// OpenUBoot opens an environment of U-Boot in two copies of size bytes each, 512 to 1 MiB, a multiple of 512. Both must
// lie within what is there already: files are not made, nor made longer. It writes nothing.
func OpenUBoot(copies [2]Place, size int64, o EnvOptions) (*Env, error) {
	if size < minUBoot || size > maxUBoot || size%minUBoot != 0 {
		return nil, fmt.Errorf("opening the boot environment: size %d, want a multiple of %d up to %d", size, minUBoot, maxUBoot)
	}
	for _, c := range copies {
		if c.Offset < 0 || c.Offset%minUBoot != 0 {
			return nil, fmt.Errorf("opening the boot environment: offset %d in %s is not a multiple of %d", c.Offset, c.Path, minUBoot)
		}
	}
	if far := copies[0].Offset - copies[1].Offset; copies[0].Path == copies[1].Path && max(far, -far) < size {
		return nil, fmt.Errorf("opening the boot environment: the copies at %d and %d of %s overlap", copies[0].Offset, copies[1].Offset, copies[0].Path)
	}
	return newEnv(&uboot{disk: o.Disk, copies: copies, size: size}, o)
}

// copyOf is one copy as it was read.
type copyOf struct {
	vars variables
	flag byte
	err  error // of one that is not whole
	ours bool  // whole, or blank, or something that was an environment of ours once
}

func (u *uboot) load() (variables, error) {
	both, newest, err := u.both()
	if err != nil {
		return nil, err
	}
	if newest >= 0 {
		return both[newest].vars, nil
	}
	for i, c := range both {
		if !c.ours {
			return nil, fmt.Errorf("%w: %d bytes at %d of %s are something else: check path, offset and size, or clear them",
				errNotEnv, u.size, u.copies[i].Offset, u.copies[i].Path)
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrLost, errors.Join(both[0].err, both[1].err))
}

// both reads the copies, and says which of them holds; -1 if neither is whole.
func (u *uboot) both() (both [2]copyOf, newest int, err error) {
	for i, c := range u.copies {
		raw, err := u.read(c)
		if err != nil {
			return both, -1, err
		}
		if both[i] = parseUBoot(raw); both[i].err != nil {
			both[i].err = fmt.Errorf("at %d of %s: %w", c.Offset, c.Path, both[i].err)
		}
	}
	return both, newestUBoot(both), nil
}

func (u *uboot) read(c Place) ([]byte, error) {
	f, err := u.disk.Open(c.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, u.size)
	n, err := f.ReadAt(b, c.Offset)
	if errors.Is(err, io.EOF) && n < len(b) {
		return nil, fmt.Errorf("%s ends before byte %d, where its environment should: check offset and size", c.Path, c.Offset+u.size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// newestUBoot is U-Boot's own rule: the greater flag, but 0 comes after 255; of equal ones the first.
func newestUBoot(both [2]copyOf) int {
	a, b := both[0], both[1]
	switch {
	case a.err != nil && b.err != nil:
		return -1
	case b.err != nil:
		return 0
	case a.err != nil:
		return 1
	case a.flag == 255 && b.flag == 0:
		return 1
	case b.flag == 255 && a.flag == 0:
		return 0
	case b.flag > a.flag:
		return 1
	}
	return 0
}

// save writes the older copy first, so that the one that holds is not touched before there is another.
func (u *uboot) save(v variables) error {
	for _, c := range u.copies {
		if err := flush(u.disk, c.Path); err != nil { // the newest copy may be U-Boot's, which did not
			return err
		}
	}
	both, newest, err := u.both()
	if err != nil {
		return err
	}
	at, flag := older(both, newest)
	for range u.copies {
		b, err := encodeUBoot(v, flag, u.size)
		if err != nil {
			return err
		}
		if err := overwrite(u.disk, u.copies[at].Path, u.copies[at].Offset, b); err != nil {
			return err
		}
		at, flag = 1-at, flag+1
	}
	return nil
}

// flush makes durable what somebody else wrote.
func flush(disk durable.Disk, path string) error {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	defer f.Close()
	// not needed for a copy that was whole before U-Boot wrote over it, but for one that an earlier cut destroyed
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the boot environment: %w", err)
	}
	return nil
}

// older is the copy to be written next, and its flag.
func older(both [2]copyOf, newest int) (at int, flag byte) {
	if newest < 0 {
		return 0, 1
	}
	return 1 - newest, both[newest].flag + 1
}

// play is what the script does: only the older copy.
func (u *uboot) play(v variables) {
	both, newest, err := u.both()
	if err != nil {
		return
	}
	at, flag := older(both, newest)
	b, err := encodeUBoot(v, flag, u.size)
	if err != nil {
		return
	}
	if f, err := u.disk.OpenFile(u.copies[at].Path, os.O_RDWR, 0); err == nil {
		_, _ = f.WriteAt(b, u.copies[at].Offset)
		f.Close()
	}
}

// parseUBoot reads one copy.
func parseUBoot(raw []byte) copyOf {
	c := copyOf{flag: raw[4]}
	data := raw[headUBoot:]
	if crc32.ChecksumIEEE(data) != binary.LittleEndian.Uint32(raw) {
		c.err = errors.New("the checksum does not match")
		blank := bytes.Count(raw, raw[:1]) == len(raw) && (raw[0] == 0 || raw[0] == 0xff)
		c.ours = blank || bytes.Contains(data, []byte(varCommitted+"=")) || bytes.Contains(data, []byte(varLast+"="))
		return c
	}
	c.ours = true
	end := bytes.Index(data, []byte{0, 0})
	if end < 0 {
		end = len(data)
	}
	for entry := range strings.SplitSeq(string(data[:end]), "\x00") {
		name, value, ok := strings.Cut(entry, "=")
		if named := func(e variable) bool { return e.name == name }; ok && name != "" && !slices.ContainsFunc(c.vars, named) { // the script's import takes the first
			c.vars = append(c.vars, variable{name, value})
		}
	}
	return c
}

// encodeUBoot writes one copy.
func encodeUBoot(v variables, flag byte, size int64) ([]byte, error) {
	b := make([]byte, headUBoot, size)
	for i, e := range v {
		b = append(append(append(append(b, e.name...), '='), e.value...), 0)
		if i < len(stateVars) && len(b) > minUBoot {
			return nil, fmt.Errorf("writing the boot environment: the state does not fit into %d bytes", minUBoot)
		}
	}
	if len(b)+1 > int(size) {
		return nil, fmt.Errorf("writing the boot environment: its variables take %d bytes, more than %d: remove some with fw_setenv", len(b)+1, size)
	}
	b = b[:size]
	b[4] = flag
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[headUBoot:]))
	return b, nil
}
