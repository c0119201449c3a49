package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// openService starts the service and makes the tenant, whose director root is signed offline too.
func (d *demo) openService(ctx context.Context) error {
	d.chapter("Service: one TLS port for devices; tenant %s with a director root of its own", tenant)
	d.listen, d.operator = "127.0.0.1:0", "127.0.0.1:0"
	if err := d.serve(ctx); err != nil {
		return err
	}
	if err := d.person(ctx, "olga"); err != nil {
		return err
	}
	pub, err := d.repo(ctx, "tenant", "key", tenant)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("acme.pub"), []byte(pub), 0o644); err != nil {
		return err
	}
	online := d.path("acme.pub")
	args := append([]string{"root", "new", "--director", "--out", d.path("director"), "--targets-key", online,
		"--timestamp-key", online, "--snapshot-key", online}, d.pub("--root-key", "olga")...)
	if _, err := d.tool(ctx, nil, "fairlead-sign", args...); err != nil {
		return err
	}
	if err := d.sign(ctx, d.path("director"), "olga"); err != nil {
		return err
	}
	_, err = d.repo(ctx, "tenant", "add", tenant, "--root", d.path("director"))
	return err
}

// serve starts fairlead-repo serve and waits for the line that says where it listens.
func (d *demo) serve(ctx context.Context, more ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	args := append([]string{"serve", "--repo", d.path("repo"), "--listen", d.listen, "--operator", d.operator,
		"--name", "localhost", "--json"}, more...)
	d.service, err = d.start("fairlead-repo", w, args...)
	w.Close()
	if err != nil {
		return err
	}
	var where struct {
		Devices   string `json:"devices"`
		Operators string `json:"operators"`
		CA        string `json:"ca"`
	}
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if err := json.NewDecoder(r).Decode(&where); err != nil {
		return fmt.Errorf("the service did not say where it listens: %w: see %s", err, d.service.log)
	}
	_, port, _ := strings.Cut(where.Devices, ":")
	d.listen, d.operator = where.Devices, strings.TrimPrefix(where.Operators, "http://")
	d.url, d.ca = "https://localhost:"+port, where.CA
	d.say("devices: %s; operators: %s", d.url, where.Operators)
	return nil
}

// repo runs a command of fairlead-repo against the running service.
func (d *demo) repo(ctx context.Context, args ...string) (string, error) {
	return d.tool(ctx, nil, "fairlead-repo", append(args, "--repo", d.path("repo"), "--service", "http://"+d.operator)...)
}

// update is a line of fairlead-repo report updates: what the service knows from a device's own reports.
type update struct {
	ID      string `json:"id"`
	Device  string `json:"device"`
	Serial  string `json:"serial"`
	From    string `json:"from"`
	To      string `json:"to"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail"`
	Fetched int64  `json:"fetched"`
	Millis  int64  `json:"millis"`
}

func (u update) final() bool {
	return slices.Contains([]string{"committed", "failed", "rolled_back", "rejected"}, u.State)
}

func (u update) unit() string {
	var n int
	if _, err := fmt.Sscanf(u.Serial, "SIM%d", &n); err != nil {
		return u.Serial
	}
	return fmt.Sprintf("unit-%03d", n)
}

func (d *demo) updates(ctx context.Context) ([]update, error) {
	out, err := d.repo(ctx, "report", "updates", "--latest", "--json", "--tenant", tenant)
	if err != nil {
		return nil, err
	}
	var all struct {
		Updates []update `json:"updates"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, fmt.Errorf("fairlead-repo report updates: %w", err)
	}
	slices.SortFunc(all.Updates, func(a, b update) int { return strings.Compare(a.Serial, b.Serial) })
	return all.Updates, nil
}

// device is a line of fairlead-repo device list.
type device struct {
	ID     string `json:"id"`
	Serial string `json:"serial"`
	Online bool   `json:"online"`
}

func (d *demo) devices(ctx context.Context) ([]device, error) {
	out, err := d.repo(ctx, "device", "list", "--json", "--tenant", tenant)
	if err != nil {
		return nil, err
	}
	var all struct {
		Devices []device `json:"devices"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, fmt.Errorf("fairlead-repo device list: %w", err)
	}
	slices.SortFunc(all.Devices, func(a, b device) int { return strings.Compare(a.Serial, b.Serial) })
	return all.Devices, nil
}

var errTooLong = errors.New("it took too long")

// until asks again and again, a quarter of a second apart, until done says so.
func (d *demo) until(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	tick := time.NewTicker(d.tick)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		for _, p := range []*daemon{d.service, d.fleet} {
			if err := p.exited(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
