// Command demo shows the whole path of an update with the built tools and nothing played: real keys and ceremonies, a
// repository, the service with its broker and database, and a fleet of real agents. `make demo` runs it.
//
// It narrates in plain lines, ends with a table, and exits 0 only if every expectation held. IMAGE_V1 and IMAGE_V2 name
// one's own images, UNITS the size of the fleet.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	product  = "base-unit"
	hardware = "bu-100"
	tenant   = "acme"
)

// demo is the state of the story: where things lie, who runs, what was expected.
type demo struct {
	*narrator
	bin, dir string
	units    int
	size     int64             // bytes of each root filesystem image
	tick     time.Duration     // between looks at what a service or a fleet has done
	images   map[string]string // by version
	ended    []update          // for the table
	witness  *daemon
	service  *daemon
	fleet    *daemon
	listen   string // address of the device port
	operator string // address of the operator's port
	url, ca  string // where devices find the service, and what vouches for it
}

// record keeps updates for the table.
func (d *demo) record(all []update) { d.ended = append(d.ended, all...) }

func main() {
	bin := flag.String("bin", "bin", "folder of the built tools")
	keep := flag.Bool("keep", false, "keep the folder with everything the demo made")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := prepare(*bin)
	if err == nil {
		err = d.run(ctx, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context, keep bool) error {
	if !keep {
		defer os.RemoveAll(d.dir)
	}
	defer d.shutDown()
	for _, part := range []func(context.Context) error{
		d.makeImages, d.holdCeremony, d.nameProduct, d.makeReleases, d.openService, d.enrolFleet,
		d.updateAll, d.refuseOnHealth, d.refuseForeign, d.deliverByPolling, d.conclude,
	} {
		if err := part(ctx); err != nil {
			return fmt.Errorf("%w\nrun it with -keep to find what was made in %s", err, d.dir)
		}
	}
	if len(d.failed) > 0 {
		return fmt.Errorf("%d expectations did not hold, %d did", len(d.failed), d.held)
	}
	return nil
}

// prepare checks what the environment asks for and makes the folder of the story.
func prepare(bin string) (*demo, error) {
	units := 20
	if v := os.Getenv("UNITS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 2 || n > 500 {
			return nil, fmt.Errorf("UNITS=%s: want a number from 2 to 500", v)
		}
		units = n
	}
	for _, name := range []string{"IMAGE_V1", "IMAGE_V2"} {
		if path := os.Getenv(name); path != "" {
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	abs, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fairlead-demo-")
	if err != nil {
		return nil, err
	}
	return &demo{
		narrator: &narrator{w: os.Stdout, began: time.Now()},
		bin:      abs, dir: dir, units: units, size: 64 << 20, tick: 250 * time.Millisecond, images: map[string]string{},
	}, nil
}

func (d *demo) shutDown() {
	for _, p := range []*daemon{d.fleet, d.service, d.witness} {
		if err := p.stop(); err != nil {
			d.say("%v", err)
		}
	}
}

// path names something in the folder of the story.
func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// makeImages makes the root filesystems, or takes the user's own.
func (d *demo) makeImages(ctx context.Context) error {
	d.chapter("Images: root filesystems as a build would make them")
	if err := os.MkdirAll(d.path("images"), 0o755); err != nil {
		return err
	}
	v1, v2 := os.Getenv("IMAGE_V1"), os.Getenv("IMAGE_V2")
	own := map[string]string{"1.0.0": v1, "1.1.0": v2, "1.2.0": v1, "1.3.0": v2} // own images take turns
	versions := slices.Sorted(maps.Keys(own))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, version := range versions {
		if d.images[version] = own[version]; own[version] == "" {
			path := d.path("images", version+".img")
			d.images[version] = path
			g.Go(func() error { return rootfs{version: version, drop: i, size: d.size}.build(ctx, d.dir, path) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, version := range versions {
		info, err := os.Stat(d.images[version])
		if err != nil {
			return err
		}
		d.say("%s: %s, %.0f MiB", version, d.images[version], float64(info.Size())/(1<<20))
	}
	return nil
}
