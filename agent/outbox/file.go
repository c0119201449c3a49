package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"

	"github.com/fairlead/fairlead/agent/wire"
)

const (
	magic = "\x89FLO\r\n\x1a\x01"

	kindHead    = 'H'
	kindEvent   = 'E'
	kindThrough = 'A'
	kindOne     = 'D'

	frame = 4 + 1 + 4 // bytes of a record around its payload

	// maxFile bounds what is read. The outbox rewrites its file long before.
	maxFile = 64 << 20
)

var errDamaged = errors.New("damaged")

// load reads the file into b and sees to it that no number is ever used again.
func (b *Outbox) load() {
	data, err := b.readFile()
	if err == nil {
		err = b.parse(data)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.newEpoch()
	case err != nil:
		b.newEpoch()
		b.log.Warn("outbox was damaged, perhaps by a power cut: events may be missing, numbering begins anew",
			"file", b.path, "kept", len(b.events), "error", err)
	}
}

func (b *Outbox) readFile() ([]byte, error) {
	f, err := b.o.Disk.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%w: more than %d bytes", errDamaged, maxFile)
	}
	return data, err
}

// parse takes records up to the first bad one. After an error b holds what came before it.
func (b *Outbox) parse(data []byte) error {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not start as an outbox does", errDamaged)
	}
	at := len(magic)
	for at < len(data) {
		kind, payload, n, err := parseRecord(data[at:])
		if err == nil {
			err = b.replay(kind, payload)
		}
		if err != nil {
			return fmt.Errorf("%w at byte %d of %d", err, at, len(data))
		}
		at += n
		b.size = int64(at)
	}
	if b.epoch == "" {
		return fmt.Errorf("%w: it has no head", errDamaged)
	}
	return nil
}

func (b *Outbox) replay(kind byte, payload []byte) error {
	if (kind == kindHead) != (b.epoch == "") {
		return fmt.Errorf("%w: the head is not where it belongs", errDamaged)
	}
	if kind == kindEvent {
		return b.replayEvent(payload)
	}
	seq, epoch, err := parseNumbered(payload)
	if err != nil {
		return err
	}
	switch kind {
	case kindHead:
		b.next, b.epoch = seq, epoch
	case kindThrough:
		b.forget(func(e wire.Event) bool { return e.Epoch == epoch && e.Seq <= seq })
	case kindOne:
		b.forget(func(e wire.Event) bool { return e.Epoch == epoch && e.Seq == seq })
	default:
		return fmt.Errorf("%w: record of kind %q is not known", errDamaged, kind)
	}
	return nil
}

func (b *Outbox) replayEvent(payload []byte) error {
	e, err := wire.DecodeEvent(payload)
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if e.Seq == math.MaxInt64 {
		return fmt.Errorf("%w: no sequence is left", errDamaged)
	}
	b.keep(entry{e, len(payload)})
	if e.Epoch == b.epoch {
		b.next = max(b.next, e.Seq+1)
	}
	return nil
}

// record frames a payload.
func record(kind byte, payload []byte) []byte {
	out := binary.LittleEndian.AppendUint32(make([]byte, 0, frame+len(payload)), uint32(len(payload)))
	out = append(append(out, kind), payload...)
	return binary.LittleEndian.AppendUint32(out, checksum(out))
}

// parseRecord reads the record that b starts with, n bytes of it.
func parseRecord(b []byte) (kind byte, payload []byte, n int, err error) {
	if len(b) < frame {
		return 0, nil, 0, fmt.Errorf("%w: torn", errDamaged)
	}
	length := int64(binary.LittleEndian.Uint32(b))
	if length > int64(len(b)-frame) {
		return 0, nil, 0, fmt.Errorf("%w: torn", errDamaged)
	}
	n = frame + int(length)
	if checksum(b[:n-4]) != binary.LittleEndian.Uint32(b[n-4:]) {
		return 0, nil, 0, fmt.Errorf("%w: wrong checksum", errDamaged)
	}
	return b[4], b[5 : n-4], n, nil
}

func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

func numbered(seq int64, epoch string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(seq)), epoch...)
}

func parseNumbered(b []byte) (seq int64, epoch string, err error) {
	if len(b) < 8 {
		return 0, "", fmt.Errorf("%w: record too short", errDamaged)
	}
	seq, epoch = int64(binary.LittleEndian.Uint64(b)), string(b[8:])
	if seq < 1 || seq == math.MaxInt64 || wire.CheckID(epoch) != nil {
		return 0, "", fmt.Errorf("%w: sequence %d of epoch %.20q", errDamaged, seq, epoch)
	}
	return seq, epoch, nil
}
