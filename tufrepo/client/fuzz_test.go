package client_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/client"
)

// FuzzMetadata serves foreign bytes in the place of each role. Nothing panics,
// every error has a class, and nothing that is not signed is trusted.
func FuzzMetadata(f *testing.F) {
	roles := []string{"root", "timestamp", "snapshot", "targets", product}
	r := newRepo(f)
	r.Publish("root")
	r.Hashes = false
	r.PublishAll()
	good := map[string][]byte{}
	for i, role := range roles {
		_, good[role] = r.Newest(role)
		f.Add(i, good[role])
		f.Add(i, good[role][:len(good[role])/2])
		f.Add(i, bytes.Replace(good[role], []byte(`"signatures":[`), []byte(`"signatures":[null,`), 1))
	}
	for i := range roles {
		f.Add(i, []byte(`{"signed":{"_type":"targets","spec_version":"1.0.31","version":3,"expires":"2030-01-01T00:00:00Z","targets":{"a":null}},"signatures":[]}`))
		f.Add(i, []byte(`{"signed":{"_type":"root","spec_version":"1.0.31","version":2,"expires":"2030-01-01T00:00:00Z","keys":{},"roles":{},"consistent_snapshot":true},"signatures":[]}`))
		f.Add(i, []byte(`<html>`))
	}
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		role := roles[uint(which)%uint(len(roles))]
		version, _ := r.Newest(role)
		r.Put(role, version, data)
		defer r.Put(role, version, good[role])
		c, err := client.Open(client.Config{Root: r.Version("root", 1), Source: r, Clock: func() time.Time { return today }})
		must(t, err)
		defer c.Close()
		if err = c.Refresh(context.Background()); err == nil {
			_, err = c.Target(context.Background(), release)
		}
		var typed *client.Error
		if err != nil && (!errors.As(err, &typed) || typed.Class == "") {
			t.Fatalf("%v has no class", err)
		}
		if v := c.Versions(); v.Root > 2 || v.Timestamp > 3 || v.Snapshot > 3 {
			t.Fatalf("trusts %+v", v)
		}
	})
}

// FuzzPinnedRoot opens a client on foreign bytes.
func FuzzPinnedRoot(f *testing.F) {
	r := newRepo(f)
	root := r.Version("root", 1)
	f.Add(root)
	f.Add(root[:len(root)-1])
	f.Add(bytes.Replace(root, []byte(`"keyids"`), []byte(`"keyIds"`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := client.Open(client.Config{Root: b, Source: r})
		if err != nil {
			return
		}
		if v := c.Versions().Root; v != 1 {
			t.Fatalf("root version %d", v)
		}
		must(t, c.Close())
	})
}
