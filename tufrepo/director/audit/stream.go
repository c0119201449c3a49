package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/fairlead/fairlead/firmware"
)

const rowHead = 2 * len(firmware.Digest{})

// MarshalBinary is the row in one piece: the hash of the row before, its own, the entry.
func (r Row) MarshalBinary() ([]byte, error) { return r.append(nil), nil }

func (r Row) append(b []byte) []byte {
	b = append(b, r.Prev[:]...)
	b = append(b, r.Hash[:]...)
	return append(b, r.Entry...)
}

// ParseRow is the reverse of MarshalBinary. It refuses what holds no entry; whether the
// hashes are right, Open and Verify say.
func ParseRow(b []byte) (Row, error) {
	if len(b) < rowHead {
		return Row{}, errors.New("audit row: cut off")
	}
	if _, err := ParseEntry(b[rowHead:]); err != nil {
		return Row{}, err
	}
	return split(b), nil
}

func split(b []byte) Row {
	r := Row{Entry: b[rowHead:]}
	copy(r.Prev[:], b)
	copy(r.Hash[:], b[len(r.Prev):])
	return r
}

// WriteRow adds a row to an export: its length as a uvarint, then the row in one piece.
func WriteRow(w io.Writer, r Row) error {
	b := binary.AppendUvarint(make([]byte, 0, 2*rowHead+len(r.Entry)), uint64(rowHead+len(r.Entry)))
	if _, err := w.Write(r.append(b)); err != nil {
		return fmt.Errorf("writing an audit row: %w", err)
	}
	return nil
}

// ReadRows reads an export. Entries are not looked at, so that Verify can say which one was
// altered; only what cannot be cut into rows ends it with an error.
func ReadRows(r io.Reader) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		in := bufio.NewReader(r)
		for n := int64(1); ; n++ {
			row, err := readRow(in)
			if err == io.EOF {
				return
			}
			if err != nil {
				err = fmt.Errorf("reading audit row %d of the export: %w", n, err)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// readRow returns io.EOF, unwrapped, before a row and nowhere else.
func readRow(in *bufio.Reader) (Row, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return Row{}, err
	}
	if n < uint64(rowHead) || n > uint64(rowHead+MaxEntry) {
		return Row{}, fmt.Errorf("length %d is not one of a row", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return Row{}, io.ErrUnexpectedEOF
	}
	return split(b), nil
}
