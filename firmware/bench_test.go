package firmware

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
)

// benchImage is 24 MiB: zeros, and a real program, this one.
func benchImage(b *testing.B) []byte {
	b.Helper()
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	image := make([]byte, 24<<20)
	for at := 0; at < 18<<20; at += len(program) {
		copy(image[at:18<<20], program)
	}
	return image
}

func BenchmarkEncode(b *testing.B) {
	image := benchImage(b)
	spool := tempSpool(b)
	b.SetBytes(int64(len(image)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		if _, err := Encode(context.Background(), io.Discard, bytes.NewReader(image), int64(len(image)), spool, EncodeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	artifact, _ := mustEncode(b, benchImage(b), EncodeOptions{})
	head, err := ReadHead(bytes.NewReader(artifact))
	if err != nil {
		b.Fatal(err)
	}
	d := newTestDecoder(b, head.FrameSize())
	buf := make([]byte, head.FrameSize())
	b.SetBytes(head.ImageLength())
	b.ReportAllocs()
	for b.Loop() {
		for i := range head.Len() {
			f := head.Frame(i)
			if buf, err = d.Decode(buf, f, artifact[f.Offset:f.Offset+f.Stored]); err != nil {
				b.Fatal(err)
			}
		}
	}
}
