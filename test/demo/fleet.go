package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const sickUnit = 7 // the unit whose health check refuses 1.2.0; the last one in a smaller fleet

func (d *demo) sick() string { return fmt.Sprintf("unit-%03d", min(sickUnit, d.units)) }

// enrolFleet powers the units on. Each makes its own key and enrols with the claim token.
func (d *demo) enrolFleet(ctx context.Context) error {
	d.chapter("Fleet: %d base units with %s from the factory", d.units, "1.0.0")
	token, err := d.repo(ctx, "claim-token", "new", "--tenant", tenant, "--uses", fmt.Sprint(d.units))
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("claim"), []byte(token), 0o600); err != nil {
		return err
	}
	events, err := os.Create(d.path("events.jsonl"))
	if err != nil {
		return err
	}
	defer events.Close()
	d.fleet, err = d.start("fairlead-sim", events, "fleet", "--json", "--dir", d.path("fleet"), "--units", fmt.Sprint(d.units),
		"--service", d.url, "--ca", d.ca, "--root", d.path("repo", "metadata", "1.root.json"), "--claim-file", d.path("claim"),
		"--product", product, "--hardware", hardware, "--image", d.images["1.0.0"], "--release", "1.0.0",
		"--fallback-poll", "1s", "--retry-wait", "1s", "--sick", d.sick()+"=1.2.0")
	if err != nil {
		return err
	}
	last := -1
	return d.until(ctx, 2*time.Minute, "the fleet to enrol", func() (bool, error) {
		all, err := d.devices(ctx)
		online := 0
		for _, one := range all {
			if one.Online {
				online++
			}
		}
		if online != last {
			last = online
			d.say("%d of %d enrolled and connected by MQTT", online, d.units)
		}
		return online == d.units, err
	})
}

// direct orders a release and follows the devices it goes to until each has come to an end.
func (d *demo) direct(ctx context.Context, version string, who ...string) ([]update, error) {
	before, err := d.updates(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, u := range before {
		known[u.ID] = true
	}
	args := []string{"direct", "--tenant", tenant, "--release", product + "/" + version}
	want := len(who)
	if want == 0 {
		args, want = append(args, "--all"), d.units
	} else {
		args = append(args, "--force")
	}
	for _, id := range who {
		args = append(args, "--device", id)
	}
	if _, err := d.repo(ctx, args...); err != nil {
		return nil, err
	}
	d.say("directed %s to %d units", version, want)
	return d.follow(ctx, version, want, known)
}

func (d *demo) follow(ctx context.Context, version string, want int, known map[string]bool) ([]update, error) {
	var ended []update
	told := ""
	err := d.until(ctx, 5*time.Minute, "the updates to "+version, func() (bool, error) {
		all, err := d.updates(ctx)
		ended = ended[:0]
		states := map[string]int{}
		for _, u := range all {
			if known[u.ID] {
				continue
			}
			if u.final() {
				ended = append(ended, u)
			}
			states[u.State]++
		}
		line := ""
		for _, s := range []string{"downloading", "installing", "rebooting", "trying", "committed", "failed", "rolled_back", "rejected"} {
			if states[s] > 0 {
				line += fmt.Sprintf("  %d %s", states[s], s)
			}
		}
		if line != told && line != "" {
			told = line
			d.say("%s:%s", version, line)
		}
		return len(ended) == want, err
	})
	return ended, err
}

// updateAll brings the whole fleet to 1.1.0.
func (d *demo) updateAll(ctx context.Context) error {
	d.chapter("Update: 1.0.0 to 1.1.0 on every unit")
	ended, err := d.direct(ctx, "1.1.0")
	if err != nil {
		return err
	}
	d.record(ended)
	n := count(ended, "committed", "")
	d.expect(n == d.units, "%d of %d units committed 1.1.0", n, d.units)
	return d.compareSlots("1.1.0", 1, d.units)
}

// refuseOnHealth publishes 1.2.0, which one unit is not healthy with.
func (d *demo) refuseOnHealth(ctx context.Context) error {
	d.chapter("Health: 1.2.0, with which %s does not work", d.sick())
	if err := d.release(ctx, "1.2.0", hardware); err != nil {
		return err
	}
	ended, err := d.direct(ctx, "1.2.0")
	if err != nil {
		return err
	}
	d.record(ended)
	n := count(ended, "committed", "")
	d.expect(n == d.units-1, "%d of %d units committed 1.2.0", n, d.units)
	for _, u := range ended {
		if u.unit() == d.sick() {
			d.expect(u.State == "rolled_back" && u.Reason == "health", "%s rolled back: %s: %s", u.unit(), u.Reason, u.Detail)
		}
	}
	if err := d.compareSlots("1.2.0", 1); err != nil {
		return err
	}
	return d.compareSlot(d.sick(), "1.1.0")
}

func count(all []update, state, reason string) int {
	n := 0
	for _, u := range all {
		if u.State == state && (reason == "" || u.Reason == reason) {
			n++
		}
	}
	return n
}

// compareSlots reads slots from the disk, past all reports, and looks for the image in one of each unit's: of a few
// units after each update, of all of them after the last.
func (d *demo) compareSlots(version string, units ...int) error {
	var g errgroup.Group
	g.SetLimit(2)
	var same atomic.Int32
	for _, i := range units {
		g.Go(func() error {
			ok, err := d.holds(fmt.Sprintf("unit-%03d", i), version)
			if ok {
				same.Add(1)
			}
			return err
		})
	}
	err := g.Wait()
	d.expect(int(same.Load()) == len(units), "on disk, slots of %d of %d units hold the bytes of %s", same.Load(), len(units), version)
	return err
}

func (d *demo) compareSlot(unit, version string) error {
	ok, err := d.holds(unit, version)
	d.expect(ok, "%s still holds the bytes of %s", unit, version)
	return err
}

// holds tells whether one of a unit's slots begins with the image of a version, byte for byte.
func (d *demo) holds(unit, version string) (bool, error) {
	for _, slot := range []string{"slot-a.img", "slot-b.img"} {
		if same, err := begins(d.path("fleet", unit, slot), d.images[version]); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// begins tells whether the file at path begins with the bytes of the file at prefix.
func begins(path, prefix string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	want, err := os.Open(prefix)
	if err != nil {
		return false, err
	}
	defer want.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(want, b)
		if err == io.EOF {
			return true, nil
		}
		if err != nil && err != io.ErrUnexpectedEOF {
			return false, err
		}
		if _, err := io.ReadFull(f, a[:n]); err != nil || !bytes.Equal(a[:n], b[:n]) {
			return false, nil // shorter, or other bytes
		}
	}
}
