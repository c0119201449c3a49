package service

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net/http"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// health is the answer of /healthz.
type health struct {
	Status string            `json:"status"` // ok or failing
	Checks map[string]string `json:"checks"` // what is looked at: ok, or what is wrong
}

// getHealth says 200 while devices can be served, else 503.
func (s *Service) getHealth(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	h := health{Status: "ok", Checks: map[string]string{"database": s.checkDatabase(ctx), "timestamp": s.checkTimestamp()}}
	status := http.StatusOK
	for _, c := range h.Checks {
		if c != "ok" {
			h.Status, status = "failing", http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, status, h)
}

// checkDatabase writes, so that a disk that is stuck, full or read-only is noticed.
func (s *Service) checkDatabase(ctx context.Context) string {
	done := make(chan error, 1)
	go func() {
		done <- s.store.Update(ctx, func(tx *store.Tx) error {
			return tx.SetMeta("health/"+s.Node, s.Clock().UTC().Format(time.RFC3339Nano))
		})
	}()
	select {
	case err := <-done:
		if err != nil {
			return err.Error()
		}
		return "ok"
	case <-ctx.Done():
		return "it does not answer"
	}
}

func (s *Service) checkTimestamp() string {
	_, expires, err := timestamp(s.Repo)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "ok" // nothing was published yet
	case err != nil:
		return err.Error()
	case !s.Clock().Before(expires):
		return "expired on " + expires.Format(time.RFC3339) + ": devices refuse the repository until it is renewed"
	}
	return "ok"
}

func secondsOrNaN(d time.Duration, err error) float64 {
	if err != nil {
		return math.NaN()
	}
	return d.Seconds()
}
