package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrCorrupt is returned by LoadPair when there are copies and none is good.
var ErrCorrupt = errors.New("no good copy")

// MaxPair is the longest payload of a pair in bytes.
const MaxPair = 4 << 20

const (
	pairMagic    = "\x89FLS\r\n\x1a\x01"
	pairHeader   = 20
	pairOverhead = pairHeader + crc32.Size
)

// generation is one copy of a pair as it was read.
type generation struct {
	path     string
	exists   bool
	good     bool
	sequence uint64
	payload  []byte
}

// SavePair keeps data as the newest state of the pair name in dir, durably,
// and reads it back. One writer at a time: callers hold a lock. After an error
// the newest state is data or what it was before.
func SavePair(dir, name string, data []byte) error { return Disk{}.SavePair(dir, name, data) }

// SavePair is the function of the same name.
func (d Disk) SavePair(dir, name string, data []byte) error {
	if len(data) > MaxPair {
		return fmt.Errorf("save %s: %d bytes, at most %d are allowed", name, len(data), MaxPair)
	}
	a, b, err := d.readPair(dir, name)
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	newest, older := order(a, b)
	encoded := encodePair(newest.sequence+1, data)
	if err := d.replace(older.path, filepath.Join(dir, tempPrefix+name), encoded); err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	return d.readBack(older.path, encoded)
}

// LoadPair returns the newest good state of the pair name in dir. Its errors
// are fs.ErrNotExist if neither copy exists, ErrCorrupt if there are copies and
// none is good, and the system's, if a copy could not be looked at: then an
// older state must not be taken for the newest.
func LoadPair(dir, name string) ([]byte, error) { return Disk{}.LoadPair(dir, name) }

// LoadPair is the function of the same name.
func (d Disk) LoadPair(dir, name string) ([]byte, error) {
	a, b, err := d.readPair(dir, name)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	newest, _ := order(a, b)
	if newest.good {
		return newest.payload, nil
	}
	if !a.exists && !b.exists {
		return nil, fmt.Errorf("load %s: %w", filepath.Join(dir, name), fs.ErrNotExist)
	}
	return nil, fmt.Errorf("load %s: %w", filepath.Join(dir, name), ErrCorrupt)
}

// order tells the newest good copy from the one to write next. Without a good
// one, newest is a copy that is not good, and its sequence 0.
func order(a, b generation) (newest, older generation) {
	if !a.good || (b.good && int64(b.sequence-a.sequence) > 0) {
		return b, a
	}
	return a, b
}

func (d Disk) readPair(dir, name string) (a, b generation, err error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return a, b, fmt.Errorf("%q is not a plain file name", name)
	}
	if a, err = d.readGeneration(filepath.Join(dir, name+".0")); err != nil {
		return a, b, err
	}
	b, err = d.readGeneration(filepath.Join(dir, name+".1"))
	return a, b, err
}

// readGeneration reads one copy. A copy whose bytes the medium does not give
// back is a bad copy; one that could not be looked at is an error.
func (d Disk) readGeneration(path string) (generation, error) {
	g := generation{path: path}
	f, err := d.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return g, err
	}
	defer f.Close()
	g.exists = true
	b, err := io.ReadAll(io.LimitReader(f, MaxPair+pairOverhead+1))
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.EBADMSG) {
		return g, nil
	}
	if err != nil {
		return g, err
	}
	g.sequence, g.payload, g.good = decodePair(b)
	return g, nil
}

func encodePair(sequence uint64, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+pairOverhead)
	b = append(b, pairMagic...)
	b = binary.LittleEndian.AppendUint64(b, sequence)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func decodePair(b []byte) (sequence uint64, payload []byte, ok bool) {
	if len(b) < pairOverhead || len(b) > MaxPair+pairOverhead || string(b[:len(pairMagic)]) != pairMagic {
		return 0, nil, false
	}
	body, sum := b[:len(b)-crc32.Size], b[len(b)-crc32.Size:]
	if int(binary.LittleEndian.Uint32(b[16:])) != len(body)-pairHeader ||
		binary.LittleEndian.Uint32(sum) != checksum(body) {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b[8:]), body[pairHeader:], true
}

func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

// replace is WriteFile with a temporary of a fixed name, private to the owner.
func (d Disk) replace(path, temp string, data []byte) error {
	f, err := d.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	r := &Replacement{Handle: f, disk: d, path: path}
	defer r.Abort()
	if _, err := r.Write(data); err != nil {
		return err
	}
	return r.Commit()
}

// readBack makes sure that the medium, as far as it lets us see, holds want.
func (d Disk) readBack(path string, want []byte) error {
	f, err := d.Open(path)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	defer f.Close()
	Forget(f)
	got, err := io.ReadAll(io.LimitReader(f, int64(len(want))+1))
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("read back %s: the medium does not hold what was written", path)
	}
	return nil
}
