package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// pipes is a network without a kernel, for the clock of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs f with a source whose server is serve, on a clock of its own.
func inBubble(t *testing.T, serve http.HandlerFunc, o client.HTTPOptions, f func(s client.Source)) {
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: serve}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = server.Serve(network) }()
		transport := &http.Transport{DialContext: network.dial}
		f(client.HTTPSource(&url.URL{Scheme: "http", Host: "repo.test"}, &http.Client{Transport: transport}, o))
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
}

// drip sends n bytes every pause, for ever.
func drip(n int, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		for {
			if _, err := w.Write(make([]byte, n)); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-time.After(pause):
			case <-req.Context().Done():
				return
			}
		}
	}
}

func TestSlowRetrieval(t *testing.T) {
	hang := func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	stall := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 500_000))
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		most  time.Duration
	}{
		"no answer":              {hang, 30 * time.Second},
		"stalls in the middle":   {stall, 60 * time.Second},
		"a byte every 5 seconds": {drip(1, 5*time.Second), 60 * time.Second},
		"a byte every 29":        {drip(1, 29*time.Second), 60 * time.Second},
		"just below the rate":    {drip(1000, time.Second), 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.serve, client.HTTPOptions{}, func(s client.Source) {
				start := time.Now()
				_, err := readAll(s, "blobs/x", 0, -1)
				if !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "slow") && !strings.Contains(err.Error(), "in time") {
					t.Errorf("%v, want to be told that it is slow", err)
				}
				if took := time.Since(start); took > c.most {
					t.Errorf("gave up after %s, at most %s are allowed", took, c.most)
				}
			})
		})
	}
}

func TestSlowButLegitimate(t *testing.T) {
	// 4 MiB at 2 KiB/s take more than half an hour.
	serve := func(w http.ResponseWriter, req *http.Request) {
		for range 4 << 20 / 4096 {
			time.Sleep(2 * time.Second)
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
		}
	}
	inBubble(t, serve, client.HTTPOptions{}, func(s client.Source) {
		if got, err := readAll(s, "blobs/x", 0, -1); err != nil || len(got) != 4<<20 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

// TestSlowReaderIsNotTheServersFault: flash that takes its time.
func TestSlowReaderIsNotTheServersFault(t *testing.T) {
	serve := func(w http.ResponseWriter, req *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }
	inBubble(t, serve, client.HTTPOptions{}, func(s client.Source) {
		r, err := s.Open(context.Background(), "blobs/x", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, readerFunc(func(p []byte) (int, error) {
			time.Sleep(time.Minute)
			return r.Read(p[:min(len(p), 4096)])
		}))
		if err != nil || n != 1<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCallerEndsATransfer(t *testing.T) {
	inBubble(t, drip(2000, time.Second), client.HTTPOptions{}, func(s client.Source) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r, err := s.Open(ctx, "blobs/x", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		start := time.Now()
		_, err = io.Copy(io.Discard, r)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnavailable) || time.Since(start) > 11*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}
