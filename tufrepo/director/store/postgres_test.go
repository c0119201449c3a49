package store_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// TestServerIsKilled takes the server away in the middle of an update.
func TestServerIsKilled(t *testing.T) {
	s := open(t, server.Database(t), store.Options{})
	update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
	var once sync.Once
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.AddEvent("d1", "e", 1, []byte("{}"), now); err != nil {
			return err
		}
		once.Do(func() { server.Kill(t) })
		return tx.Touch("d1", now)
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the update: %v, want ErrUnavailable", err)
	}
	if err := s.View(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a view without a server: %v, want ErrUnavailable", err)
	}
	server.Restart(t)
	update(t, s, func(tx *store.Tx) error {
		all, err := tx.Events("d1", 10)
		if len(all) != 0 {
			t.Errorf("%d events of an update that failed", len(all))
		}
		added, err2 := tx.AddEvent("d1", "e", 1, []byte("{}"), now)
		if !added {
			t.Error("the event cannot be stored again")
		}
		return errors.Join(err, err2)
	})
}

// TestConnectionsAreLost ends all connections between updates: callers do not notice.
func TestConnectionsAreLost(t *testing.T) {
	s := open(t, server.Database(t), store.Options{Conns: 4})
	for range 3 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.SetMeta("k", "v") }); err != nil {
					t.Error(err)
				}
				if err := s.View(context.Background(), func(tx *store.Tx) error { _, err := tx.Meta("k"); return err }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		server.Execute(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fairlead-repo'")
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := store.Open(t.Context(), "postgres://me:secret@127.0.0.1:1/db", store.Options{})
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("no server: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is told: %v", err)
	}
	where := strings.Replace(server.Database(t), "/test", "/none", 1)
	if _, err := store.Open(t.Context(), where, store.Options{}); err == nil || !strings.Contains(err.Error(), "createdb") {
		t.Errorf("no database: %v", err)
	}
}

// TestCommitIsUnknown cuts the connection at the commit: before the server has it, or before
// it has answered.
func TestCommitIsUnknown(t *testing.T) {
	for name, stored := range map[string]bool{"lost": false, "done": true} {
		t.Run(name, func(t *testing.T) {
			direct := server.Database(t)
			cut := cutter(t, stored)
			s := open(t, cut.url(t, direct), store.Options{})
			update(t, s, func(tx *store.Tx) error { return addDevice(tx, "d1") })
			event := func(tx *store.Tx) error {
				_, err := tx.AddEvent("d1", "e", 1, []byte("{}"), now)
				return err
			}
			cut.armed.Store(true)
			if err := s.Update(t.Context(), event); !errors.Is(err, store.ErrUnknown) {
				t.Errorf("the update: %v, want ErrUnknown", err)
			}
			view(t, s, func(tx *store.Tx) error {
				all, err := tx.Events("d1", 10)
				if (len(all) == 1) != stored {
					t.Errorf("%d events, stored %v", len(all), stored)
				}
				return err
			})
			update(t, s, event) // again, which does no harm
		})
	}
}

// cut is a way to the server that ends at a commit, once, when it is armed.
type cut struct {
	net.Listener
	forward bool // the commit goes through, the answer does not
	armed   atomic.Bool
	wg      sync.WaitGroup
}

func cutter(t *testing.T, forward bool) *cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{Listener: l, forward: forward}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", server.Socket())
			if err != nil {
				t.Error(err)
				return
			}
			c.wg.Go(func() { c.carry(from, to) })
		}
	}()
	t.Cleanup(func() { l.Close(); c.wg.Wait() })
	return c
}

func (c *cut) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	var mute atomic.Bool
	c.wg.Go(func() {
		defer from.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := to.Read(buf)
			if err != nil || mute.Load() { // the answer to the commit is here, and goes no further
				return
			}
			if _, err := from.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte("commit\x00")) && c.armed.CompareAndSwap(true, false) {
			if !c.forward {
				return
			}
			mute.Store(true)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *cut) url(t *testing.T, direct string) string {
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("host")
	u.Host, u.RawQuery = c.Addr().String(), q.Encode()
	return u.String()
}
