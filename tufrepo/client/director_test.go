package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

const (
	tenant   = "acme"
	deviceID = "9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001"
	update   = "4e1d0a52-52a8-4a3f-9a39-0d8c7a6b5c4d"
)

// signer lets a test key sign directions.
type signer struct{ tuftest.Key }

func (s signer) ID() string { return s.Key.ID }

// directed is a director, and a device that follows it.
type directed struct {
	*device
	repo     *tuftest.Repo
	director *client.Director
}

// newDirected serves the director's roots where a service does.
func newDirected(t *testing.T) *directed {
	t.Helper()
	d := &directed{repo: tuftest.New(expires())}
	d.device = newDevice(t, d.repo)
	d.open()
	return d
}

// Open finds "director/<tenant>/N.root.json" in the test repository's metadata.
func (d *directed) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return d.repo.Open(ctx, strings.Replace(name, "director/"+tenant+"/", "metadata/", 1), offset, length)
}

func (d *directed) open() {
	d.t.Helper()
	c, err := client.OpenDirector(client.DirectorConfig{
		Dir: filepath.Join(d.config.Dir, "director"), Root: d.config.Root, Tenant: tenant, Device: deviceID, Source: d, Clock: d.config.Clock,
	})
	must(d.t, err)
	d.director = c
	d.t.Cleanup(func() { c.Close() })
}

func (d *directed) reopen() {
	d.t.Helper()
	must(d.t, d.director.Close())
	d.open()
}

func (d *directed) say(version int64, change ...func(*direction.Direction)) []byte {
	d.t.Helper()
	said := direction.Direction{
		Tenant: tenant, Device: deviceID, Hardware: "board-1", Version: version,
		Issued: today.Add(-time.Minute), Expires: today.AddDate(0, 0, 7), Update: update,
		Target: &direction.Target{Path: release, Length: 812, SHA256: firmware.Sum([]byte("m")), Counter: 2},
	}
	for _, f := range change {
		f(&said)
	}
	raw, err := direction.Sign(said, signer{d.repo.Keys["targets"][0]})
	must(d.t, err)
	return raw
}

func (d *directed) accepts(raw []byte) direction.Direction {
	d.t.Helper()
	got, err := d.director.Accept(context.Background(), raw)
	if err != nil {
		d.t.Fatalf("accept: %v", err)
	}
	return got
}

func (d *directed) rejects(raw []byte, class error) {
	d.t.Helper()
	if got, err := d.director.Accept(context.Background(), raw); !errors.Is(err, class) {
		d.t.Fatalf("accept: %+v, %v, want %v", got, err, class)
	}
}

func TestDirectionIsAcceptedAndKept(t *testing.T) {
	d := newDirected(t)
	if got, raw := d.director.Current(); got != nil || raw != nil {
		t.Fatalf("before any: %+v", got)
	}
	raw := d.say(7)
	if got := d.accepts(raw); got.Version != 7 || got.Target.Path != release {
		t.Fatalf("%+v", got)
	}
	d.accepts(raw) // retained messages come again and again
	d.reopen()
	if got, kept := d.director.Current(); got == nil || got.Version != 7 || !bytes.Equal(kept, raw) {
		t.Fatalf("after a restart: %+v", got)
	}
	if got := d.repo.Requests(); len(got) != 0 {
		t.Errorf("asked for %v, though it knows the key", got)
	}
	d.rejects(d.say(6), client.ErrRollback)
	d.rejects(d.say(7, func(x *direction.Direction) { x.Target, x.Update = nil, "" }), client.ErrConflict)
	d.rejects(d.say(8_000_000), client.ErrRollback)
	d.accepts(d.say(8))
	if got, _ := d.director.Current(); got.Version != 8 {
		t.Fatalf("%+v", got)
	}
}

func TestDirectionToOthers(t *testing.T) {
	d := newDirected(t)
	for name, change := range map[string]func(*direction.Direction){
		"another device": func(x *direction.Direction) { x.Device = "9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0002" },
		"another tenant": func(x *direction.Direction) { x.Tenant = "globex" },
		"empty, another device": func(x *direction.Direction) {
			x.Device, x.Target, x.Update = "9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0002", nil, ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.rejects(d.say(9, change), client.ErrSignature)
			if got, _ := d.director.Current(); got != nil {
				t.Errorf("%+v", got)
			}
		})
	}
	d.accepts(d.say(1))
}

func TestDirectionExpiry(t *testing.T) {
	d := newDirected(t)
	raw := d.say(1)
	d.accepts(raw)
	d.now = today.AddDate(0, 0, 8)
	d.rejects(raw, client.ErrExpired)
	d.reopen()
	if got, _ := d.director.Current(); got == nil || got.Version != 1 {
		t.Fatalf("an expired one is still what the device was told last: %+v", got)
	}
	// A clock at 1970 does not revive it beyond its successor's issue time.
	d.now = today
	d.accepts(d.say(2, func(x *direction.Direction) {
		x.Issued, x.Expires = today.AddDate(0, 0, 10), today.AddDate(0, 0, 17)
	}))
	d.now = in1970
	d.rejects(d.say(3), client.ErrExpired)
	var cause *client.ExpiredError
	if _, err := d.director.Accept(context.Background(), d.say(3)); !errors.As(err, &cause) || cause.Role != "direction" {
		t.Fatalf("%v", err)
	}
}

func TestDirectorRootRotates(t *testing.T) {
	d := newDirected(t)
	d.accepts(d.say(1000))
	thief := d.say(1001)
	d.repo.Rotate("targets")
	d.repo.Publish("root")

	withheld := func(string) *tuftest.Response { return &tuftest.Response{Status: http.StatusInternalServerError} }
	d.repo.Hook(withheld)
	d.rejects(d.say(5), client.ErrSignature)
	d.repo.Hook(nil)

	// The key was withdrawn, so what it said last is forgotten, floor and all.
	if got := d.accepts(d.say(5)); got.Version != 5 {
		t.Fatalf("%+v", got)
	}
	if got := fmt.Sprint(d.repo.Requests()); !strings.Contains(got, "metadata/2.root.json metadata/3.root.json") {
		t.Errorf("asked for %s", got)
	}
	d.rejects(thief, client.ErrSignature)
	d.reopen()
	d.rejects(thief, client.ErrSignature)
	if got, _ := d.director.Current(); got == nil || got.Version != 5 {
		t.Fatalf("%+v", got)
	}
}

func TestRefreshFindsWithdrawnDirectorKey(t *testing.T) {
	d := newDirected(t)
	d.accepts(d.say(1))
	stolen := d.say(2)
	d.repo.Rotate("targets")
	d.repo.Publish("root")
	must(t, d.director.Refresh(context.Background()))
	if got, _ := d.director.Current(); got != nil {
		t.Errorf("what a withdrawn key said still stands: %+v", got)
	}
	d.rejects(stolen, client.ErrSignature)
	d.reopen()
	d.rejects(stolen, client.ErrSignature)
}

func TestDirectorRootExpires(t *testing.T) {
	d := newDirected(t)
	d.now = expires().Add(time.Hour)
	late := func(x *direction.Direction) { x.Issued, x.Expires = d.now.Add(-time.Minute), d.now.AddDate(0, 0, 7) }
	d.rejects(d.say(1, late), client.ErrExpired)
	d.repo.Root.Signed.Expires = d.now.AddDate(1, 0, 0)
	d.repo.Publish("root")
	d.accepts(d.say(1, late))
}

func TestDirectionGarbage(t *testing.T) {
	d := newDirected(t)
	good := d.say(1)
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)/2], "null": []byte("null"), "page": []byte("<html>"), "long": bytes.Repeat([]byte(" "), direction.MaxSize+1),
	} {
		if _, err := d.director.Accept(context.Background(), bad); !errors.Is(err, client.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := d.repo.Requests(); len(got) != 0 {
		t.Errorf("garbage made it ask for %v", got)
	}
	d.accepts(good)
}

func TestDirectorStoreTorn(t *testing.T) {
	d := newDirected(t)
	d.accepts(d.say(1))
	d.accepts(d.say(2))
	dir := filepath.Join(d.config.Dir, "director")
	must(t, d.director.Close())
	must(t, os.WriteFile(filepath.Join(dir, "floors.1"), []byte("torn"), 0o600))
	d.open()
	if got, _ := d.director.Current(); got == nil {
		t.Error("one torn copy of two, and the direction is gone")
	}
	must(t, d.director.Close())
	must(t, os.WriteFile(filepath.Join(dir, "floors.0"), []byte("torn"), 0o600))
	d.open()
	if got, _ := d.director.Current(); got != nil {
		t.Errorf("from nowhere: %+v", got)
	}
	d.accepts(d.say(3))
}
