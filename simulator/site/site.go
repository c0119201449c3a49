package site

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead/fairlead/signer"
	"github.com/fairlead/fairlead/simulator/network"
	"github.com/fairlead/fairlead/tufrepo"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// Tenant is the organisation that the fleet belongs to.
const Tenant = "simulation"

// Options describe a site.
type Options struct {
	Dir      string
	Product  string
	Hardware []string
	Log      *slog.Logger
	// Exchange has the service run in this process, and be reached through it; nil for a process of its own and TCP.
	Exchange *network.Exchange
	// Look is how often the service looks for turns of rollouts that are due; 0 means its default.
	Look time.Duration
	// NoBroker is a service without MQTT.
	NoBroker bool
	// AcceptRate is how many connections the service takes a second; 0 means its default.
	AcceptRate float64
}

// Site is a repository with its people and, while it runs, its service. Its methods are called one at a time.
type Site struct {
	o       Options
	dir     string
	repo    *tufrepo.Repo
	bundles int
	starts  int
	service running // nil if it does not run
	address string  // of the device port, the same at every start
	web     *http.Client
	genuine []byte // the timestamp in whose place a forged one lies
	renewed int    // timestamp keys made
}

// Make makes a site in an empty folder, or in one that is not there.
func Make(ctx context.Context, o Options) (*Site, error) {
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return o.Exchange.Dial(ctx, nil, address)
	}
	web := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: dial, IdleConnTimeout: 10 * time.Second}}
	s := &Site{o: o, dir: o.Dir, web: web}
	if _, err := os.Stat(filepath.Join(o.Dir, "repo")); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("making a site: there is one in %s already", o.Dir)
	}
	for _, sub := range []string{"bundles", "images"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("making a site: %w", err)
		}
	}
	var err error
	if s.repo, err = tufrepo.Init(filepath.Join(o.Dir, "repo"), tufrepo.InitOptions{Options: tufrepo.Options{Log: o.Log}}); err != nil {
		return nil, fmt.Errorf("making a site: %w", err)
	}
	return s, s.ceremony(ctx)
}

// Dir is where the site lies.
func (s *Site) Dir() string { return s.dir }

func (s *Site) publish(ctx context.Context, bundle string) error {
	if _, err := s.repo.Publish(ctx, bundle, tufrepo.PublishOptions{}); err != nil {
		return fmt.Errorf("publishing %s: %w", filepath.Base(bundle), err)
	}
	return nil
}

// Release is an image that is to be published.
type Release struct {
	Version  string
	Image    string   // file
	Hardware []string // none: the site's
	MinAgent string
	Counter  int64 // 0: the next
	Patches  int   // from so many of the releases before
}

// Publish makes a release of an image, has it signed, and publishes it.
func (s *Site) Publish(ctx context.Context, r Release) error {
	base, err := signer.ReadBase(s.repo.Dir(), "")
	if err != nil {
		return err
	}
	dora, err := loadSigner(s.key("dora"))
	if err != nil {
		return err
	}
	if len(r.Hardware) == 0 {
		r.Hardware = s.o.Hardware
	}
	o := signer.ReleaseOptions{
		Out: s.bundle(r.Version), Base: base, Product: s.o.Product, Version: r.Version, Hardware: r.Hardware, Image: r.Image,
		Counter: r.Counter, MinAgent: r.MinAgent, Lifetime: lifetime, Now: time.Now(), Patches: r.Patches, NoChunks: true,
	}
	o.Keys = append(o.Keys, dora)
	if _, err := signer.NewRelease(ctx, o); err != nil {
		return fmt.Errorf("making release %s: %w", r.Version, err)
	}
	return s.publish(ctx, o.Out)
}

// RotateRoot publishes a successor of the root. With newTimestamp it names a new timestamp key in the place of the old one.
func (s *Site) RotateRoot(ctx context.Context, newTimestamp bool) error {
	base, err := signer.ReadBase(s.repo.Dir(), "")
	if err != nil {
		return err
	}
	o := signer.RotateRootOptions{Out: s.bundle("root"), Base: base, Lifetime: lifetime, Now: time.Now(), Changes: map[string]signer.RoleChange{}}
	if newTimestamp {
		if o.Changes["timestamp"], err = s.newTimestamp(); err != nil {
			return err
		}
	}
	if _, err := signer.RotateRoot(ctx, o); err != nil {
		return fmt.Errorf("rotating the root: %w", err)
	}
	if err := s.sign(o.Out, s.repo.Dir(), "alice", "bob"); err != nil {
		return err
	}
	return s.publish(ctx, o.Out)
}

func (s *Site) newTimestamp() (signer.RoleChange, error) {
	old := s.timestampKey()
	s.renewed++
	key, err := s.repo.NewKey(s.timestampKey(), keyfile.Ed25519)
	if err != nil {
		return signer.RoleChange{}, fmt.Errorf("making a timestamp key: %w", err)
	}
	pub, err := signer.LoadPublic(key.Public)
	return signer.RoleChange{Add: []signer.Public{pub}, Remove: []string{s.online(old) + ".pub"}, Threshold: 1}, err
}

func (s *Site) timestampKey() string {
	if s.renewed == 0 {
		return "timestamp"
	}
	return fmt.Sprintf("timestamp-%d", s.renewed+1)
}
