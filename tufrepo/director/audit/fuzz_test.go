package audit

import (
	"bytes"
	"testing"
)

func FuzzParseRow(f *testing.F) {
	h := build(f, signerOf(f, 1), 4)
	for _, r := range h.rows {
		b, _ := r.MarshalBinary()
		f.Add(b)
		f.Add(b[:len(b)-3])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRow(b)
		if err != nil {
			return
		}
		e, err := ParseEntry(r.Entry)
		if err != nil {
			t.Fatalf("a row was taken whose entry was not: %v", err)
		}
		again := Row{r.Prev, r.Hash, encode(e)}
		if got, _ := again.MarshalBinary(); !bytes.Equal(got, b) {
			t.Errorf("read %x, would write %x", b, got)
		}
	})
}

func FuzzOpenHead(f *testing.F) {
	s := signerOf(f, 1)
	h := build(f, s, 2, 1, 2)
	for _, raw := range h.seals {
		f.Add([]byte(raw))
	}
	keys := keysOf(f, s)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := keys.Open(b)
		if err == nil && got.Head != h.heads[1] && got.Head != h.heads[2] {
			t.Errorf("%+v was never signed", got)
		}
	})
}

func FuzzReadRows(f *testing.F) {
	h := build(f, signerOf(f, 1), 3)
	var file bytes.Buffer
	for _, r := range h.rows {
		_ = WriteRow(&file, r)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for range ReadRows(bytes.NewReader(b)) {
			n++
		}
		if n > len(b)/rowHead+1 {
			t.Errorf("%d rows out of %d bytes", n, len(b))
		}
	})
}
