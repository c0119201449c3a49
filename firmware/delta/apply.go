package delta

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/durable"
)

// ApplyOptions are the choices of whoever applies a patch.
type ApplyOptions struct {
	// CheckBase reads the whole base before anything else, and compares its SHA-256. Without it a wrong base of the right
	// length is found at the first frame for which it makes a difference. The image is right in either case.
	CheckBase bool
	// Workers decode at the same time, each in up to two frames and 3 MiB beside them. 0 means GOMAXPROCS, but no more
	// than 21 MiB are enough for, or one.
	Workers int
	// Progress, if set, is called with the bytes of the image that are done, from one goroutine at a time.
	Progress func(done, total int64)
}

// What workers take at most: together, unless they are asked for by number, and each beside its two frames.
const (
	applyMemory  = 21 << 20
	workerMemory = 3 << 20
)

// ApplyFile makes an image of its base, a file or a block device, and a patch. The image is in place, durable, when
// ApplyFile returns without error, with holes where whole frames are zero; else what was at imagePath before is, and
// nothing beside it. A base of another length than the patch's, a device that is smaller, and one that turns out to be
// another image, are ErrBase, with words on which image is wanted. A file that is no patch is firmware.ErrFormat, a
// damaged one firmware.ErrCorrupt. Every frame is verified against the patch's own head; whether the head is genuine
// only a manifest can say.
func ApplyFile(ctx context.Context, basePath, patchPath, imagePath string, o ApplyOptions) error {
	a, err := openPatch(patchPath, imagePath)
	if err != nil {
		return err
	}
	defer a.patch.Close()
	a.ApplyOptions = o
	if a.base, err = openInput("base", basePath, imagePath); err != nil {
		return err
	}
	defer a.base.Close()
	if err := a.checkBase(ctx); err != nil {
		return err
	}
	out, err := durable.Create(imagePath, 0o644)
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := a.write(ctx, out.File); err != nil {
		return err
	}
	return out.Commit()
}

// openInput opens a file or block device that is not the output at the same time.
func openInput(what, path, output string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Type()&^fs.ModeDevice != 0 || err == nil && info.Mode()&fs.ModeCharDevice != 0 {
		err = errors.New("it is neither a file nor a block device")
	}
	if there, statErr := os.Stat(output); err == nil && statErr == nil && os.SameFile(info, there) {
		err = errors.New("it is also the output; choose another name for that")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s %s: %w", what, path, err)
	}
	return f, nil
}

// applier makes the frames of an image, in any order.
type applier struct {
	ApplyOptions
	patch, base *os.File
	head        *firmware.Head
	out         *output

	next atomic.Int64 // the frame that nobody has begun with
	mu   sync.Mutex
	done int64
}

func openPatch(path, imagePath string) (*applier, error) {
	f, err := openInput("patch", path, imagePath)
	if err != nil {
		return nil, err
	}
	head, err := readHead(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("patch %s: %w", path, err)
	}
	return &applier{patch: f, head: head}, nil
}

// readHead reads the head of a patch, and compares the file's length with it.
func readHead(f *os.File) (*firmware.Head, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	head, err := firmware.ReadPatchHead(io.NewSectionReader(f, 0, size))
	if errors.Is(err, firmware.ErrFormat) {
		if _, other := firmware.ReadHead(io.NewSectionReader(f, 0, size)); other == nil {
			return nil, fmt.Errorf("it is an artifact, which needs no base: extract it: %w", firmware.ErrFormat)
		}
	}
	if err != nil {
		return nil, err
	}
	if size != head.ArtifactLength() {
		return nil, fmt.Errorf("it has %d bytes, its header says %d; copy it again: %w", size, head.ArtifactLength(), firmware.ErrCorrupt)
	}
	return head, nil
}

// checkBase finds out that the base is another image, as far as that is cheap or asked for.
func (a *applier) checkBase(ctx context.Context) error {
	from := a.head.From()
	size, err := a.base.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the size of base %s: %w", a.base.Name(), err)
	}
	info, err := a.base.Stat()
	if err != nil {
		return err
	}
	// A device may be larger than the image that lies in front of it.
	if size < from.Length || size > from.Length && info.Mode().IsRegular() {
		return a.wrongBase(fmt.Errorf("%w: it has %d bytes", ErrBase, size))
	}
	if !a.CheckBase {
		return nil
	}
	h := sha256.New()
	piece := make([]byte, 256<<10)
	for r := io.NewSectionReader(a.base, 0, from.Length); ; {
		n, err := r.Read(piece)
		h.Write(piece[:n])
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF && firmware.Digest(h.Sum(nil)) == from.SHA256:
			return nil
		case err == io.EOF:
			return a.wrongBase(fmt.Errorf("%w: its SHA-256 is %x", ErrBase, h.Sum(nil)))
		case err != nil:
			return fmt.Errorf("read base %s: %w", a.base.Name(), err)
		}
	}
}

// wrongBase says which image is wanted.
func (a *applier) wrongBase(err error) error {
	from := a.head.From()
	return fmt.Errorf("apply patch %s to %s: it is made for the image of %d bytes with SHA-256 %v: %w",
		a.patch.Name(), a.base.Name(), from.Length, from.SHA256, err)
}

// write fills the empty file out.
func (a *applier) write(ctx context.Context, out *os.File) error {
	if err := out.Truncate(a.head.ImageLength()); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	a.out = newOutput(out)
	defer a.out.close()
	g, ctx := errgroup.WithContext(ctx)
	for range a.workers() {
		g.Go(func() error { return a.work(ctx) })
	}
	if err := g.Wait(); errors.Is(err, ErrBase) {
		return a.wrongBase(err)
	} else if err != nil {
		return fmt.Errorf("apply patch %s: %w", a.patch.Name(), err)
	}
	return nil
}

func (a *applier) workers() int {
	if a.Workers > 0 {
		return a.Workers
	}
	most := max(1, applyMemory/(2*a.head.FrameSize()+workerMemory))
	return min(runtime.GOMAXPROCS(0), most, max(1, a.head.Len()))
}

// work makes frames until there are no more.
func (a *applier) work(ctx context.Context) error {
	d, err := NewDecoder(a.head.FrameSize())
	if err != nil {
		return err
	}
	defer d.Close()
	// Outside of Go's heap, which would take as much again before it looks for garbage; pages that stored bytes never
	// reach, as most are few, cost nothing.
	size := a.head.FrameSize()
	memory, err := unix.Mmap(-1, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("allocate %d bytes: %w", 2*size, err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	for {
		i := a.next.Add(1) - 1
		if i >= int64(a.head.Len()) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		f := a.head.Frame(int(i))
		if f.Kind != firmware.FrameZero { // the file is all holes to begin with
			if err := a.frame(d, f, memory[:size:size], memory[size:]); err != nil {
				return err
			}
		}
		a.report(f.Length)
	}
}

func (a *applier) frame(d *Decoder, f firmware.Frame, image, stored []byte) error {
	stored = stored[:f.Stored]
	if n, err := a.patch.ReadAt(stored, f.Offset); n < len(stored) {
		return fmt.Errorf("read frame %d: %w", f.Index, err)
	}
	image, err := d.Decode(image, f, stored, a.base, a.head.From().Length)
	if err != nil {
		return err
	}
	if err := a.out.writeAt(image, f.At); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

func (a *applier) report(n int64) {
	if a.Progress == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done += n
	a.Progress(a.done, a.head.ImageLength())
}

// directAlign is what O_DIRECT may want of offsets, lengths and addresses.
const directAlign = 4096

// output is a file of which nothing will be read soon: what is written goes past the page cache where the file system
// lets it, and else is on its way to the disk at once, so that the sync at the end has little left to do.
type output struct {
	*os.File
	direct *os.File // nil where there is no such way
}

func newOutput(f *os.File) *output {
	// Through /proc it is certainly the same file.
	direct, _ := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY|unix.O_DIRECT, 0)
	return &output{File: f, direct: direct}
}

func (o *output) close() {
	if o.direct != nil {
		_ = o.direct.Close()
	}
}

func (o *output) writeAt(p []byte, at int64) error {
	whole := len(p) &^ (directAlign - 1)
	if o.direct != nil && at%directAlign == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlign == 0 {
		n, err := o.direct.WriteAt(p[:whole], at)
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
		if p, at = p[n:], at+int64(n); len(p) == 0 {
			return nil
		}
	}
	n, err := o.WriteAt(p, at)
	if err == nil {
		_ = unix.SyncFileRange(int(o.Fd()), at, int64(n), unix.SYNC_FILE_RANGE_WRITE)
	}
	return err
}
