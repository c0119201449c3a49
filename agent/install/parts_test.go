package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The set of bytes does what a list of booleans does.
func TestRanges(t *testing.T) {
	const length = 60
	rapid.Check(t, func(t *rapid.T) {
		var s ranges
		var model [length]bool
		extent := rapid.Custom(func(t *rapid.T) Extent {
			from := rapid.IntRange(0, length).Draw(t, "from")
			return Extent{int64(from), int64(rapid.IntRange(0, length-from).Draw(t, "length"))}
		})
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			e, with := extent.Draw(t, "extent"), rapid.Bool().Draw(t, "with")
			before := slices.Clone(s)
			was := s
			if s = s.without(e); with {
				s = was.with(e)
			}
			if !slices.Equal(before, was) {
				t.Fatalf("%v was changed to %v", before, was)
			}
			for i := e.Offset; i < e.end(); i++ {
				model[i] = with
			}
			checkRanges(t, s, model[:])
			asked := extent.Draw(t, "asked")
			if all := !slices.Contains(model[asked.Offset:asked.end()], false); s.covers(asked) != all && asked.Length > 0 {
				t.Fatalf("%v covers %v: %v", s, asked, !all)
			}
		}
	})
}

func checkRanges(t *rapid.T, s ranges, model []bool) {
	if !s.valid(int64(len(model))) {
		t.Fatalf("%v is no set", s)
	}
	got := make([]bool, len(model))
	for _, e := range s {
		for i := e.Offset; i < e.end(); i++ {
			got[i] = true
		}
	}
	if !slices.Equal(got, model) {
		t.Fatalf("%v is %v, want %v", s, got, model)
	}
}

// Pieces of the arena do not overlap, whatever the order in which they come back; whoever waits gets his in the end.
func TestArena(t *testing.T) {
	const size = 64 << 10
	rapid.Check(t, func(rt *rapid.T) {
		a, err := newArena(size)
		if err != nil {
			rt.Fatal(err)
		}
		defer a.close()
		held := map[byte][]byte{}
		for mark := byte(1); mark < 100; mark++ {
			if n := rapid.Int64Range(1, size/2).Draw(rt, "length"); len(held) == 0 || rapid.Bool().Draw(rt, "take") {
				p := a.fit(n)
				if p == nil && len(held) == 0 {
					rt.Fatalf("no room for %d bytes in an empty arena", n)
				}
				if p != nil {
					copy(p, bytes.Repeat([]byte{mark}, len(p)))
					held[mark] = p
				}
				continue
			}
			mark := rapid.SampledFrom(slices.Sorted(maps.Keys(held))).Draw(rt, "give")
			if p := held[mark]; bytes.Count(p, []byte{mark}) != len(p) {
				rt.Fatalf("somebody else wrote to piece %d", mark)
			}
			a.give(held[mark])
			delete(held, mark)
		}
	})
}

func TestArenaWaits(t *testing.T) {
	a, err := newArena(64 << 10)
	must(t, err)
	defer a.close()
	first, err := a.take(t.Context(), 40<<10)
	must(t, err)
	go a.give(first)
	second, err := a.take(t.Context(), 40<<10)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := a.take(ctx, 40<<10); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	a.give(second)
	small, err := a.take(t.Context(), 1)
	must(t, err)
	if &small[0] != &a.memory[0] {
		t.Error("a small piece does not lie in front")
	}
}

// What the slot holds is not written, a slot that holds something else is hardly read.
func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	const frame = 1 << 20
	image := bytes.Repeat(testImage(32, 3), 3)[:3*frame+777]
	rel := makeReleaseOf(t, image, frame)
	old := func(edit func(b []byte)) []byte {
		b := bytes.Clone(image)
		edit(b)
		return b
	}
	for _, c := range []struct {
		name    string
		slot    []byte
		written int64 // at most
		read    int64 // at most, before the slot is read back
	}{
		{"the same image", image, 0, 4 * frame},
		{"a byte differs", old(func(b []byte) { b[frame/2]++ }), blockSize, 6 * frame},
		{"two bytes near each other", old(func(b []byte) { b[frame]++; b[frame+4*blockSize]++ }), 5 * blockSize, 6 * frame},
		{"the last byte", old(func(b []byte) { b[len(b)-1]++ }), blockSize, 6 * frame},
		{"a frame differs", old(func(b []byte) { clear(b[2*frame : 3*frame]) }), frame, 6 * frame},
		{"all differs", bytes.Repeat([]byte{0xA5}, len(image)), int64(len(image)), frame + 4*2*blockSize},
	} {
		for _, kind := range deviceKinds(t) {
			t.Run(c.name+"/"+kind.name, func(t *testing.T) {
				path := kind.make(t, 4<<20)
				d := &countingDevice{Device: openTestSlot(t, path, SlotOptions{})}
				if _, err := d.WriteAt(c.slot, 0); err != nil {
					t.Fatal(err)
				}
				must(t, d.Sync())
				d.written.Store(0)
				p := plan(t, &memorySource{release: rel}, d, fastDir(t))
				p.Limits.Buffers = 0
				read := int64(0)
				p.Progress = func(q Progress) {
					if q.Phase == PhaseVerify && read == 0 {
						read = d.read.Load()
					}
				}
				res, err := Run(t.Context(), p)
				must(t, err)
				checkSlot(t, path, image)
				if got := d.written.Load(); got > c.written || got != res.Written || res.Written+res.Unchanged+res.Zeroed != int64(len(image)) {
					t.Errorf("%d bytes written, want at most %d; %+v", got, c.written, res)
				}
				if read > c.read {
					t.Errorf("%d bytes of the slot were read, want at most %d", read, c.read)
				}
			})
		}
	}
}

// Bytes come back as they were written, past the page cache or through it, wherever they lie.
func TestWriteAnywhere(t *testing.T) {
	bufs, err := newBuffers(1, 64<<10)
	must(t, err)
	defer bufs.close()
	room := bufs.take()
	for _, kind := range deviceKinds(t) {
		for _, c := range []struct{ address, offset, length int }{
			{0, 0, 64 << 10}, {0, 8192, 4096}, {0, 4096, 5000}, {0, 512, 8192}, {1, 4096, 8192}, {0, 4096, 100}, {5, 77, 9999},
		} {
			for _, indirect := range []bool{false, true} {
				path := kind.make(t, 128<<10)
				d := openTestSlot(t, path, SlotOptions{}).(*slot)
				d.indirect.Store(indirect)
				p := room[c.address:][:min(c.length, len(room)-c.address)]
				for i := range p {
					p[i] = byte(i*7 + 1)
				}
				n, err := d.WriteAt(p, int64(c.offset))
				must(t, err)
				must(t, d.Sync())
				want := bytes.Repeat([]byte{0xA5}, 128<<10)
				copy(want[c.offset:], p)
				if got, err := os.ReadFile(path); n != len(p) || err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %+v, indirect %v: other bytes came back; %d, %v", kind.name, c, indirect, n, err)
				}
				must(t, d.Close())
			}
		}
	}
}

// The throttle lets through what it should, in the time that it should, and can be turned at any moment.
func TestThrottle(t *testing.T) {
	rel := makeRelease(t, testImage(40, 0))
	for _, c := range []struct {
		name string
		turn func(th *Throttle)
		want time.Duration
	}{
		{"nothing", func(*Throttle) {}, 0},
		{"a rate", func(th *Throttle) { th.SetRate(10_000) }, time.Duration(len(rel.artifact)) * time.Second / 10_000},
		{"a pause", func(th *Throttle) {
			th.Pause()
			time.AfterFunc(3*time.Hour, th.Resume)
		}, 3 * time.Hour},
		{"a rate that ends", func(th *Throttle) {
			th.SetRate(1)
			time.AfterFunc(time.Minute, func() { th.SetRate(0) })
		}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, journal := shmSlot(t, 1), fastDir(t)
			synctest.Test(t, func(t *testing.T) {
				p := plan(t, &memorySource{release: rel}, openTestSlot(t, path, SlotOptions{Capacity: 1 << 30}), journal)
				p.Throttle = new(Throttle)
				c.turn(p.Throttle)
				start := time.Now()
				_, err := Run(t.Context(), p)
				must(t, err)
				if took := time.Since(start); took < c.want*98/100 || took > c.want*102/100 {
					t.Errorf("it took %v, want %v", took, c.want)
				}
			})
		})
	}
}

func TestThrottleEndsWithItsContext(t *testing.T) {
	var none *Throttle
	if _, err := none.ask(t.Context()); err != nil || none.Paused() {
		t.Error("no throttle holds back", err)
	}
	th := new(Throttle)
	th.Pause()
	ctx, cancel := context.WithCancelCause(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, err := th.ask(ctx); !errors.Is(err, errLine) {
			t.Error(err)
		}
	})
	cancel(errLine)
	waiting.Wait()
	if !th.Paused() {
		t.Error("the pause is over")
	}
}

// Who looks on sees the bytes come, how quickly, and how long it will take. What has come is made durable every few seconds.
func TestProgressOnALongLine(t *testing.T) {
	rel := makeRelease(t, testImage(80, 0))
	path, journal := shmSlot(t, 1), fastDir(t)
	synctest.Test(t, func(t *testing.T) {
		source, stop := longLine(t, rel)
		var seen []Progress
		var at []time.Duration
		start := time.Now()
		d := &countingDevice{Device: openTestSlot(t, path, SlotOptions{Capacity: 1 << 30})}
		_, err := Run(t.Context(), Plan{
			Manifest: rel.manifest, Source: source, Target: d, Slot: "b", Journal: journal,
			Progress: func(p Progress) { seen, at = append(seen, p), append(at, time.Since(start)) },
		})
		took := time.Since(start)
		stop()
		must(t, err)
		middle := -1
		for i, p := range seen {
			if i > 0 && p.Phase == PhaseInstall && (p.Fetched < seen[i-1].Fetched || p.Done < seen[i-1].Done || at[i]-at[i-1] > time.Second) {
				t.Errorf("after %v %+v, after %v %+v", at[i-1], seen[i-1], at[i], p)
			}
			if at[i] < took/2 {
				middle = i
			}
		}
		left := took - at[middle]
		if p := seen[middle]; p.Rate < lineRate*95/100 || p.Rate > lineRate*105/100 || p.Left < left*95/100-time.Second || p.Left > left*105/100+time.Second {
			t.Errorf("half way, with %v to go: %+v", left, p)
		}
		if n := time.Duration(d.syncs.Load()); n < took/checkpointEvery || n > took/checkpointEvery+2 {
			t.Errorf("%d syncs in %v", n, took)
		}
		if last := seen[len(seen)-1]; last.Phase != PhaseVerify || last.Done != last.Total || last.Left != 0 {
			t.Errorf("at the end %+v", last)
		}
	})
}

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m meter
		count := int64(0)
		var rates []string
		for _, perSecond := range []int64{0, 1000, 1000, 1000, 0, 0, 0, 0, 0, 0} {
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				count += perSecond / 10
				m.rate("a", count)
			}
			rates = append(rates, fmt.Sprint(m.rate("a", count)/100))
		}
		if got, want := fmt.Sprint(rates), "[0 3 5 6 4 3 2 1 0 0]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if m.rate("b", 5) != 0 {
			t.Error("a new phase begins with the old rate")
		}
	})
}
