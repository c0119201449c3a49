package fleet

import (
	"context"
	"slices"
	"testing"
	"time"
)

// TestParts: two processes have a fleet together; every unit is in one of them, and a clone finds whom it is a clone of in the other.
func TestParts(t *testing.T) {
	t.Parallel()
	s := newScene(t, 5)
	s.cfg.Each = func(n int) Unit {
		u := Unit{Transports: []string{}}
		if n == 4 {
			u.CloneOf = 1
		}
		return u
	}
	var all []int
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	ended := make(chan error, 2)
	for i := range 2 {
		c := s.cfg
		c.Part = Part{At: i, Of: 2}
		f := newFleet(t, c)
		t.Cleanup(func() { must(t, f.Close()) })
		all = append(all, f.Numbers()...)
		go func() { ended <- f.Run(ctx) }()
	}
	if slices.Sort(all); !slices.Equal(all, []int{1, 2, 3, 4, 5}) {
		t.Errorf("units %v", all)
	}
	original, clone := s.device(1), s.device(4)
	cancel()
	for range 2 {
		must(t, <-ended)
	}
	if original != clone {
		t.Errorf("%s is no clone of %s", clone, original)
	}
}

func TestPartsRefused(t *testing.T) {
	for _, p := range []Part{{At: 1}, {At: 2, Of: 2}, {At: -1, Of: 2}, {At: 0, Of: 6}} {
		if err := p.check(5); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
}
