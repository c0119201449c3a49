package client_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
)

// today is when the tests take place.
var today = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func expires() time.Time { return today.AddDate(0, 0, 30) }

const product = "base-unit"

// newRepo has one product role with one target.
func newRepo(t testing.TB) *tuftest.Repo {
	t.Helper()
	r := tuftest.New(expires())
	r.Issued = today.Add(-time.Hour)
	r.Delegate("targets", metadata.DelegatedRole{Name: product, Paths: []string{product + "/*"}, Terminating: true})
	r.AddTarget(product, product+"/1.0.0.json", []byte("the manifest of 1.0.0"))
	r.PublishAll()
	return r
}

// device is a client and what outlives it.
type device struct {
	t      testing.TB
	config client.Config
	now    time.Time
	client *client.Client
}

// newDevice starts a device that pins root version 1 of r.
func newDevice(t testing.TB, r *tuftest.Repo) *device {
	t.Helper()
	d := &device{t: t, now: today}
	d.config = client.Config{Dir: t.TempDir(), Root: r.Version("root", 1), Source: r, Clock: func() time.Time { return d.now }}
	d.start()
	return d
}

func (d *device) start() {
	d.t.Helper()
	c, err := client.Open(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	d.client = c
	d.t.Cleanup(func() { c.Close() })
}

// restart is a reboot: only what is on disk is left.
func (d *device) restart() {
	d.t.Helper()
	if err := d.client.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.start()
}

func (d *device) refresh() error { return d.client.Refresh(context.Background()) }

// mustRefresh also resolves, so that everything is in use.
func (d *device) mustRefresh() {
	d.t.Helper()
	if err := d.refresh(); err != nil {
		d.t.Fatalf("refresh: %v", err)
	}
	if _, err := d.client.Target(context.Background(), product+"/1.0.0.json"); err != nil {
		d.t.Fatalf("resolve: %v", err)
	}
}

// refuses refreshes and wants an error of class.
func (d *device) refuses(class error) {
	d.t.Helper()
	if err := d.refresh(); !errors.Is(err, class) {
		d.t.Fatalf("refresh: %v, want %v", err, class)
	}
	var typed *client.Error
	if err := d.refresh(); !errors.As(err, &typed) || typed.Class != class.(*client.Error).Class {
		d.t.Fatalf("refresh again: %v, want class %v", err, class)
	}
}

func (d *device) versions() client.Versions { return d.client.Versions() }

func TestRefreshResolveFetch(t *testing.T) {
	r := newRepo(t)
	d := newDevice(t, r)
	d.mustRefresh()
	target, err := d.client.Target(context.Background(), product+"/1.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := d.client.Fetch(context.Background(), target, &b); err != nil || b.String() != "the manifest of 1.0.0" {
		t.Fatalf("fetched %q, %v", b.String(), err)
	}
	list, err := d.client.Targets(context.Background(), product)
	if err != nil || len(list) != 1 || list[0].Path != target.Path || list[0].Role != product {
		t.Fatalf("targets of the product: %v, %v", list, err)
	}
	if _, err := d.client.Target(context.Background(), product+"/9.json"); !errors.Is(err, client.ErrNoTarget) {
		t.Fatalf("a target that is not there: %v", err)
	}
	if v := d.versions(); v.Root != 1 || v.Timestamp != 2 || v.Snapshot != 2 || v.Roles[product] != 1 || v.Roles["targets"] != 2 {
		t.Fatalf("versions %+v", v)
	}
}
