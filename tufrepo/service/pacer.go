package service

import (
	"context"
	"time"
)

// pacer lets one after the other through, and never catches up: on a machine that is too busy
// to wake them in time they come more slowly, not all at once.
type pacer struct {
	gap  time.Duration
	turn chan struct{}
	last time.Time // whoever has the turn
}

// newPacer lets most through in any one second: nine in ten of them, as who was let through
// before may be late.
func newPacer(most float64) *pacer {
	return &pacer{gap: time.Duration(float64(time.Second) / max(0.9*most, 1)), turn: make(chan struct{}, 1)}
}

func (p *pacer) wait(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turn }()
	if early := time.Until(p.last.Add(p.gap)); early > 0 {
		pause(ctx, early)
	}
	p.last = time.Now()
	return ctx.Err()
}
