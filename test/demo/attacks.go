package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// refuseForeign offers what no unit may take, with the director's own word for it, and expects each to be refused with
// its reason. The director believes the units will refuse, too; it is told to direct all the same.
func (d *demo) refuseForeign(ctx context.Context) error {
	d.chapter("Attacks: a tampered artifact, a release outside the log, an older release, a release for other hardware")
	if err := d.release(ctx, "1.3.0", hardware); err != nil {
		return err
	}
	all, err := d.devices(ctx)
	if err != nil {
		return err
	}
	victim := all[0].ID
	if err := d.tampered(ctx, victim); err != nil {
		return err
	}
	if err := d.unlogged(ctx, victim); err != nil {
		return err
	}
	if err := d.refused(ctx, victim, "1.0.0", "rejected", "older_release", "an older release"); err != nil {
		return err
	}
	d.images["1.3.0-hd"] = d.path("images", "hd.img") // what it holds does not matter: nobody may fetch it
	if err := os.WriteFile(d.images["1.3.0-hd"], []byte("firmware of an HD-900\n"), 0o644); err != nil {
		return err
	}
	if err := d.release(ctx, "1.3.0-hd", "hd-900"); err != nil {
		return err
	}
	return d.refused(ctx, victim, "1.3.0-hd", "rejected", "wrong_hardware", "a release for other hardware")
}

// tampered changes one byte of the artifact where the repository keeps it, as a thief of the server or of a cache could.
func (d *demo) tampered(ctx context.Context, victim string) error {
	manifest, err := os.ReadFile(d.path("release-1.3.0", "targets", product, "1.3.0.json"))
	if err != nil {
		return err
	}
	var m struct {
		Artifact struct {
			SHA256 string `json:"sha256"`
			Length int64  `json:"length"`
		} `json:"artifact"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	blob := filepath.Join(d.path("repo"), "blobs", m.Artifact.SHA256)
	whole, err := os.ReadFile(blob)
	if err != nil {
		return err
	}
	bad := append([]byte{}, whole...)
	bad[40] ^= 1 // of the index: of the frames, a unit fetches only those that it does not hold
	if err := replace(blob, bad); err != nil {
		return err
	}
	d.say("flipped one bit of %s in the repository's own folder", filepath.Base(blob)[:12])
	if err := d.refused(ctx, victim, "1.3.0", "failed", "corrupt", "a tampered artifact"); err != nil {
		return err
	}
	return replace(blob, whole)
}

// unlogged takes the proof of a signed release away: so it is with every release that was kept out of the log.
func (d *demo) unlogged(ctx context.Context, victim string) error {
	found, err := filepath.Glob(d.path("repo", "targets", product, "*.1.3.0.json.*.tlog-proof"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("proofs of 1.3.0: %v, %w", found, err)
	}
	proof, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	if err := os.Remove(found[0]); err != nil {
		return err
	}
	if err := d.refused(ctx, victim, "1.3.0", "rejected", "not_logged", "a signed release without proof that it stands in the log"); err != nil {
		return err
	}
	return replace(found[0], proof)
}

// readLog lets a monitor read the whole log, and hold it against what was announced and what units were given.
func (d *demo) readLog(ctx context.Context) error {
	bundles, err := filepath.Glob(d.path("release-*"))
	if err != nil {
		return err
	}
	args := []string{"monitor", d.path("repo", "log"), "--policy", d.path("policy.txt"), "--state", d.path("monitor"), "--proofs", d.path("repo", "targets")}
	for _, b := range bundles {
		args = append(args, "--announced", b)
	}
	out, err := d.tool(ctx, nil, "fairlead-sign", args...)
	d.expect(err == nil, "the monitor finds every entry announced: %s", strings.ReplaceAll(strings.TrimSpace(out), "\n", "; "))
	return nil
}

func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (d *demo) refused(ctx context.Context, victim, version, state, reason, what string) error {
	ended, err := d.direct(ctx, version, victim)
	if err != nil {
		return err
	}
	u := ended[0]
	d.expect(u.State == state && u.Reason == reason, "%s is refused: %s: %s: %s", what, u.State, u.Reason, u.Detail)
	return nil
}

// deliverByPolling starts the service again without its broker. The units find MQTT closed and ask over HTTPS.
func (d *demo) deliverByPolling(ctx context.Context) error {
	d.chapter("No broker: the service without MQTT; polling still delivers 1.3.0")
	if err := d.service.stop(); err != nil {
		return err
	}
	if err := d.serve(ctx, "--no-broker"); err != nil {
		return err
	}
	ended, err := d.direct(ctx, "1.3.0")
	if err != nil {
		return err
	}
	d.record(ended)
	n := count(ended, "committed", "")
	d.expect(n == d.units, "%d of %d units committed 1.3.0", n, d.units)
	all := make([]int, d.units)
	for i := range all {
		all[i] = i + 1
	}
	return d.compareSlots("1.3.0", all...)
}

// conclude stops everything in good order and prints the table.
func (d *demo) conclude(ctx context.Context) error {
	d.chapter("What became of each unit")
	if err := d.readLog(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(d.ended, func(a, b update) int { return strings.Compare(a.Serial, b.Serial) })
	fmt.Fprintf(d.w, "\n    %-10s %-8s %-8s %-12s %12s %9s\n", "unit", "from", "to", "state", "bytes", "seconds")
	for _, u := range d.ended {
		fmt.Fprintf(d.w, "    %-10s %-8s %-8s %-12s %12d %9.1f\n", u.unit(), u.From, u.To, u.State, u.Fetched,
			(time.Duration(u.Millis) * time.Millisecond).Seconds())
	}
	fmt.Fprintln(d.w)
	for _, p := range []*daemon{d.fleet, d.service, d.witness} {
		if err := p.stop(); err != nil {
			d.expect(false, "%v", err)
		}
	}
	d.say("%d expectations held, %d did not", d.held, len(d.failed))
	return nil
}
