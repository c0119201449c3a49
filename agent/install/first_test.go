package install

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
)

// recorder notes what a source is asked for, and breaks off after some requests.
type recorder struct {
	Source
	most int // 0: any number

	mu    sync.Mutex
	asked []Part
}

func (r *recorder) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r.mu.Lock()
	r.asked = append(r.asked, Part{name, offset, length})
	n := len(r.asked)
	r.mu.Unlock()
	if r.most > 0 && n > r.most {
		return nil, errLine
	}
	return r.Source.Open(ctx, name, offset, length)
}

// First names what a Run asks for first, in every way that it goes; after an interruption, too.
func TestFirstIsWhatRunAsksFor(t *testing.T) {
	plain, patched := makeRelease(t, testImage(14, 0)), testPatched(t)
	chunked := makeChunks(t, noiseImage(24))
	other := bytes.NewReader(noiseImage(20))
	for _, c := range []struct {
		name string
		plan func() Plan
		want int // parts
	}{
		{"artifact", func() Plan { return plan(t, &memorySource{release: plain}, nil, fastDir(t)) }, 1},
		{"artifact in one request", func() Plan {
			p := plan(t, &memorySource{release: plain}, nil, fastDir(t))
			p.Limits.Request = 0
			return p
		}, 1},
		{"patch", func() Plan {
			return patchPlan(t, &memorySource{release: patched}, nil, fastDir(t), nothing)
		}, 1},
		{"a patch from another image", func() Plan {
			p := patchPlan(t, &memorySource{release: patched}, nil, fastDir(t), nothing)
			p.BaseImage.Length++
			return p
		}, 1},
		{"chunks", func() Plan { return chunkPlan(t, chunked, chunked.source(), nil, fastDir(t), other) }, 2},
		{"chunks without a base", func() Plan { return chunkPlan(t, chunked, chunked.source(), nil, fastDir(t), nil) }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.plan()
			p.Target = openTestSlot(t, fileSlot(t, 1<<20), SlotOptions{Capacity: 1 << 30})
			check := func(most, want int) error {
				t.Helper()
				parts := First(p)
				r := &recorder{Source: p.Source, most: most}
				q := p
				q.Source = r
				_, err := Run(t.Context(), q)
				if len(parts) != want || len(r.asked) < want || !slices.Equal(r.asked[:want], parts) {
					t.Errorf("First is %v, Run asked for %v", parts, r.asked[:min(len(r.asked), 3)])
				}
				return err
			}
			p.Limits.Attempts = 1
			if err := check(c.want, c.want); err != nil && !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			must(t, check(0, 0)) // the heads were kept
		})
	}
}
