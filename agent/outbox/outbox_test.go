package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/wire"
	"github.com/fairlead/fairlead/firmware/durable"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func step(update string, state wire.State) wire.Event {
	return wire.Event{Time: noon, Update: update, State: state, Product: "base", From: "1.0.0", To: "1.1.0"}
}

func open(t *testing.T, dir string) *Outbox {
	t.Helper()
	return openWith(t, dir, Options{})
}

func openWith(t *testing.T, dir string, o Options) *Outbox {
	t.Helper()
	b, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, b *Outbox, update string, state wire.State) wire.Event {
	t.Helper()
	e, err := b.Append(step(update, state))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// all is what waits, whatever its epoch; it is acknowledged.
func all(b *Outbox) (out []wire.Event) {
	for {
		next := b.Next(wire.MaxEvents, 1<<20)
		if len(next) == 0 {
			return out
		}
		out = append(out, next...)
		last := next[len(next)-1]
		b.Ack(last.Epoch, last.Seq)
	}
}

func TestEventsSurviveARestartInOrder(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	var want []wire.Event
	for i := range 20 {
		want = append(want, put(t, b, fmt.Sprint("u", i), wire.Downloading))
	}
	b.Ack(want[0].Epoch, want[4].Seq)
	b = open(t, dir)
	if got := b.Next(100, 1<<20); !reflect.DeepEqual(got, want[5:]) {
		t.Errorf("got %v\nwant %v", got, want[5:])
	}
	next := put(t, b, "last", wire.Committed)
	if next.Epoch != want[0].Epoch || next.Seq != 21 {
		t.Errorf("after the restart %s %d was given", next.Epoch, next.Seq)
	}
}

func TestAppendFillsIn(t *testing.T) {
	b := open(t, t.TempDir())
	e := step("u", wire.Failed)
	e.Epoch, e.Seq, e.Schema, e.Detail = "mine", 99, 7, "no space\nleft\x00"
	e.Time = noon.Add(time.Microsecond).In(time.FixedZone("x", 3600))
	got, err := b.Append(e)
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch == "mine" || got.Seq != 1 || got.Schema != 1 || got.Detail != "no space left" || got.Time != noon {
		t.Errorf("got %+v", got)
	}
}

func TestAppendRefusesWhatTheServiceWould(t *testing.T) {
	b := open(t, t.TempDir())
	if _, err := b.Append(step("", wire.Failed)); err == nil || !strings.Contains(err.Error(), "update is missing") {
		t.Errorf("got %v", err)
	}
	if b.Len() != 0 {
		t.Error("it was kept")
	}
}

func TestNextIsBounded(t *testing.T) {
	b := open(t, t.TempDir())
	for range 5 {
		put(t, b, "u", wire.Downloading)
	}
	for _, c := range []struct{ n, size, want int }{{3, 1 << 20, 3}, {9, 1, 1}, {9, 400, 2}, {0, 1 << 20, 0}} {
		if got := len(b.Next(c.n, c.size)); got != c.want {
			t.Errorf("Next(%d, %d) gave %d events, want %d", c.n, c.size, got, c.want)
		}
	}
}

func TestAckOfOtherEpochsDoesNothing(t *testing.T) {
	b := open(t, t.TempDir())
	e := put(t, b, "u", wire.Failed)
	b.Ack("other", 100)
	b.Ack(e.Epoch, 0)
	if b.Len() != 1 {
		t.Error("an event left without its acknowledgement")
	}
	b.Ack(e.Epoch, 1)
	if b.Len() != 0 {
		t.Error("the event did not leave")
	}
}

func TestReady(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	select {
	case <-b.Ready():
		t.Error("an empty outbox is ready")
	default:
	}
	put(t, b, "u", wire.Failed)
	put(t, b, "u", wire.Failed)
	<-b.Ready()
	<-open(t, dir).Ready()
}

// Whatever the power cut leaves of the file, what was promised before is there, and no
// name is given twice.
func TestTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	var promised []wire.Event
	var ends []int64
	for i := range 4 {
		promised = append(promised, put(t, b, fmt.Sprint("u", i), wire.Rebooting))
		ends = append(ends, b.size)
	}
	file := filepath.Join(dir, "outbox")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		survives(t, whole[:cut], promised, ends, cut)
	}
	for _, end := range ends {
		survives(t, append(bytes.Clone(whole[:end]), make([]byte, 64)...), promised, ends, int(end))
	}
}

func survives(t *testing.T, data []byte, promised []wire.Event, ends []int64, cut int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "outbox"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir)
	got := b.Next(wire.MaxEvents, 1<<20)
	for i, e := range promised {
		if ends[i] > int64(cut) {
			break // it was never promised
		}
		if len(got) <= i || got[i] != e {
			t.Fatalf("cut at %d: event %d of %v is missing in %v", cut, i, e, got)
		}
		if b.epoch == e.Epoch && b.next <= e.Seq {
			t.Fatalf("cut at %d: %s %d will be given twice", cut, b.epoch, b.next)
		}
	}
	if cut%50 == 0 { // the next one is kept beside them
		fresh, got := put(t, b, "fresh", wire.Failed), all(open(t, dir))
		if last := got[len(got)-1]; last != fresh {
			t.Fatalf("cut at %d: the new event became %+v", cut, last)
		}
	}
}

// A damaged file must not bring numbers back, whichever bit has turned.
func TestRotNeverReusesAName(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	used := map[name]bool{}
	for i := range 3 {
		e := put(t, b, fmt.Sprint("u", i), wire.Failed)
		used[name{e.Epoch, e.Seq}] = true
	}
	file := filepath.Join(dir, "outbox")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x10
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if b := open(t, dir); used[name{b.epoch, b.next}] {
			t.Fatalf("byte %d turned: %s %d will be given twice", at, b.epoch, b.next)
		}
	}
}

func TestLostFileBeginsANewEpoch(t *testing.T) {
	dir := t.TempDir()
	old := put(t, open(t, dir), "u", wire.Failed)
	if err := os.Remove(filepath.Join(dir, "outbox")); err != nil {
		t.Fatal(err)
	}
	if e := put(t, open(t, dir), "u", wire.Failed); e.Epoch == old.Epoch {
		t.Error("the epoch came back")
	}
}

// syncBy has an outbox sync its file by other means.
func syncBy(b *Outbox, sync func(*os.File) error) { b.o.Disk.FS = syncFS{durable.System{}, sync} }

type syncFS struct {
	durable.System
	sync func(*os.File) error
}

func (s syncFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.Handle, error) {
	f, err := s.System.OpenFile(name, flag, perm)
	if err != nil || flag&os.O_WRONLY == 0 {
		return f, err
	}
	return syncFile{f.(*os.File), s.sync}, nil
}

type syncFile struct {
	*os.File
	sync func(*os.File) error
}

func (f syncFile) Sync() error { return f.sync(f.File) }

// Each write is made to fail in two ways: nothing of it happened, or all of it did.
func TestFailedWritesSpendTheirNumbers(t *testing.T) {
	broken := errors.New("input/output error")
	for what, fail := range map[string]func(*os.File) error{
		"lost":          func(f *os.File) error { return errors.Join(broken, f.Truncate(0)) },
		"half":          func(f *os.File) error { info, _ := f.Stat(); return errors.Join(broken, f.Truncate(info.Size()-3)) },
		"done but said": func(f *os.File) error { return errors.Join(broken, f.Sync()) },
	} {
		dir := t.TempDir()
		b := open(t, dir)
		first := put(t, b, "u1", wire.Failed)
		syncBy(b, fail)
		if _, err := b.Append(step("u2", wire.Failed)); !errors.Is(err, broken) {
			t.Fatalf("%s: got %v", what, err)
		}
		syncBy(b, (*os.File).Sync)
		third := put(t, b, "u3", wire.Failed)
		if third.Seq != 3 {
			t.Errorf("%s: number %d was given", what, third.Seq)
		}
		got := all(open(t, dir))
		if want := []wire.Event{first, third}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v\nwant %v", what, got, want)
		}
	}
}

func TestFolderGoneAndBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir)
	first := put(t, b, "u1", wire.Failed)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := b.Append(step("u2", wire.Failed)); err == nil {
			t.Fatal("an event was promised without a folder to keep it in")
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	last := put(t, b, "u3", wire.Failed)
	if got, want := all(open(t, dir)), []wire.Event{first, last}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestFileStaysSmall(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	syncBy(b, func(*os.File) error { return nil })
	for i := range 1000 {
		e := put(t, b, fmt.Sprint("u", i), wire.Failed)
		b.Ack(e.Epoch, e.Seq)
	}
	info, err := os.Stat(filepath.Join(dir, "outbox"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 2*slack {
		t.Errorf("%d bytes for nothing", info.Size())
	}
	if e := put(t, open(t, dir), "u", wire.Failed); e.Seq != 1001 {
		t.Errorf("after a rewrite number %d was given", e.Seq)
	}
}

func TestFullDropsStepsAndSaysSo(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	b := openWith(t, dir, Options{MaxEvents: 6, Log: slog.New(slog.NewTextHandler(&log, nil))})
	put(t, b, "u1", wire.Downloading)
	put(t, b, "u1", wire.Failed)
	put(t, b, "u2", wire.Downloading)
	put(t, b, "u2", wire.Installing)
	put(t, b, "u2", wire.Rebooting)
	put(t, b, "u3", wire.Downloading)
	var dropped []int64
	for _, s := range []wire.State{wire.Installing, wire.Rebooting, wire.Committed} {
		dropped = append(dropped, put(t, b, "u3", s).Dropped)
	}
	want := []string{"u1 failed", "u2 rebooting", "u3 downloading", "u3 installing", "u3 rebooting", "u3 committed"}
	if got := words(all(open(t, dir))); !reflect.DeepEqual(got, want) {
		t.Errorf("kept %v\nwant %v", got, want)
	}
	if !reflect.DeepEqual(dropped, []int64{1, 1, 1}) || !strings.Contains(log.String(), "outbox is full") {
		t.Errorf("said that %v were dropped, logged %q", dropped, &log)
	}
}

func words(events []wire.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Update+" "+string(e.State))
	}
	return out
}

func TestFullPrefersAnyEndToAnyStep(t *testing.T) {
	b := openWith(t, t.TempDir(), Options{MaxEvents: 3})
	put(t, b, "u1", wire.Downloading)
	put(t, b, "u2", wire.Downloading)
	put(t, b, "u3", wire.Failed)
	put(t, b, "u4", wire.Staged) // of what was only to be downloaded
	put(t, b, "u5", wire.Failed)
	if got, want := words(b.Next(9, 1<<20)), []string{"u3 failed", "u4 staged", "u5 failed"}; !reflect.DeepEqual(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if _, err := b.Append(step("u6", wire.Downloading)); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if b.Len() != 3 {
		t.Error("a refused event pushed another out")
	}
}

// An event that told of drops and is dropped itself hands its count on.
func TestDropsAddUp(t *testing.T) {
	b := openWith(t, t.TempDir(), Options{MaxEvents: 2})
	var sum int64
	for range 10 {
		put(t, b, "u", wire.Downloading)
	}
	for _, e := range b.Next(9, 1<<20) {
		sum += e.Dropped
	}
	if sum != 8 {
		t.Errorf("the events that are left tell of %d dropped ones, not of 8", sum)
	}
}

func TestBytesAreBounded(t *testing.T) {
	b := openWith(t, t.TempDir(), Options{MaxBytes: 16 << 10})
	syncBy(b, func(*os.File) error { return nil })
	for range 200 {
		put(t, b, "u", wire.Downloading)
	}
	if b.live > 16<<10 || b.Len() < 10 {
		t.Errorf("%d events of %d bytes", b.Len(), b.live)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	syncBy(b, func(*os.File) error { return nil })
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 25 {
				e := put(t, b, fmt.Sprint("u", i), wire.Failed)
				b.Next(3, 1000)
				if e.Seq%2 == 0 {
					b.Ack(e.Epoch, e.Seq-50)
				}
			}
		})
	}
	wg.Wait()
	got := all(open(t, dir))
	if len(got) < 50 || got[len(got)-1].Seq != 100 {
		t.Errorf("%d events are left", len(got))
	}
}

func TestOpenNeedsAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, file + "-missing"} {
		if _, err := Open(dir, Options{}); err == nil {
			t.Errorf("%s was opened", dir)
		}
	}
}

func FuzzParse(f *testing.F) {
	dir := f.TempDir()
	b, err := Open(dir, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []wire.State{wire.Downloading, wire.Failed} {
		if _, err := b.Append(step("u", s)); err != nil {
			f.Fatal(err)
		}
	}
	b.Ack(b.epoch, 1)
	seed, err := os.ReadFile(filepath.Join(dir, "outbox"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Outbox
		b.log = slog.New(slog.NewTextHandler(io.Discard, nil))
		err := b.parse(data)
		if b.live > len(data) || b.size > int64(len(data)) {
			t.Errorf("%d bytes became %d bytes of events", len(data), b.live)
		}
		if err == nil && (b.next < 1 || wire.CheckID(b.epoch) != nil) {
			t.Errorf("goes on at %s %d", b.epoch, b.next)
		}
	})
}
