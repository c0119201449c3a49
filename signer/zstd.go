package signer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/firmware"
)

// ZstdProgram compresses the frames of artifacts with the program zstd, each in a process of its own: nearly twice
// as quickly as the coder that is built in, and about as small.
type ZstdProgram struct {
	path  string
	level int
}

// FindZstd looks for the program, a path or a name on PATH, to be run with a level from 1 to 19.
func FindZstd(program string, level int) (*ZstdProgram, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("the program %s cannot be run: %w; install it (apt-get install zstd), or do without", program, err)
	}
	return &ZstdProgram{path, level}, nil
}

// coder is for EncodeOptions; it is nil where there is no program.
func (z *ZstdProgram) coder() func() (firmware.Coder, error) {
	if z == nil {
		return nil
	}
	return func() (firmware.Coder, error) { return &zstdCoder{ZstdProgram: z}, nil }
}

// EncodeOptions are those of an artifact that is made with the program; z may be nil.
func (z *ZstdProgram) EncodeOptions(progress func(done, total int64)) firmware.EncodeOptions {
	return firmware.EncodeOptions{Coder: z.coder(), Progress: progress}
}

type zstdCoder struct {
	*ZstdProgram
	out bytes.Buffer
}

// Code runs the program once. It takes no more of what it prints than a frame can have.
func (z *zstdCoder) Code(ctx context.Context, image []byte) ([]byte, error) {
	z.out.Reset()
	cmd := exec.CommandContext(ctx, z.path, "-q", "-c", "--no-check", "--single-thread", "-"+strconv.Itoa(z.level),
		"--stream-size="+strconv.Itoa(len(image)))
	var said bytes.Buffer
	cmd.Stdin = bytes.NewReader(image)
	out := &atMost{&z.out, len(image) + 64<<10}
	cmd.Stdout, cmd.Stderr = out, &atMost{&said, 4 << 10}
	switch err := cmd.Run(); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case out.room < 0:
		return nil, fmt.Errorf("%s prints more than it was given; do without it", z.path)
	case err != nil:
		return nil, fmt.Errorf("%s: %w %s; do without it", z.path, err, strings.TrimSpace(said.String()))
	}
	return z.out.Bytes(), nil
}

func (z *zstdCoder) Close() {}

// atMost fails when more is written than it has room for.
type atMost struct {
	w    io.Writer
	room int
}

func (a *atMost) Write(p []byte) (int, error) {
	if a.room -= len(p); a.room < 0 {
		return 0, io.ErrShortWrite
	}
	return a.w.Write(p)
}
