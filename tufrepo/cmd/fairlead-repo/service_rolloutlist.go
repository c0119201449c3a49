package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/fairlead/fairlead/tufrepo/service/api"
)

func rolloutList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	path, err := tenantPath(c, "/rollouts")
	if err != nil {
		return err
	}
	q := url.Values{"device": {c.String("device")}}
	if c.Bool("open") {
		q.Set("open", "1")
	}
	all, err := asked[api.Rollouts](c, "GET", path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	return serviceShow(c, all, func(w io.Writer) {
		row(w, "ROLLOUT", "RELEASE", "RUN", "PHASE", "DONE", "FAILED", "IN FLIGHT", "CREATED")
		for _, r := range all.Rollouts {
			good, size, failed := sums(r)
			row(w, r.ID, r.Product+"/"+r.Version, r.Run, r.Phase, fmt.Sprintf("%d/%d", good, size), failed, r.InFlight, shortTime(r.Created))
		}
	})
}

// sums are a rollout's devices in all phases.
func sums(r api.Rollout) (good, size, failed int) {
	for _, p := range r.Phases {
		good, size, failed = good+p.Good, size+p.Size, failed+p.States["failed"]+p.States["silent"]
	}
	return good, size, failed
}

// shownFailures is how many devices that failed are named.
const shownFailures = 10

func rolloutShow(c *cli.Context) error {
	path, err := rolloutPath(c)
	if err != nil {
		return err
	}
	out, err := asked[api.Rollout](c, "GET", path, nil)
	if err != nil {
		return err
	}
	failed, err := failures(c, path, out)
	if err != nil {
		return err
	}
	return showRollout(c, out, failed)
}

// failures are some devices that failed or fell silent.
func failures(c *cli.Context, path string, r api.Rollout) (out []api.RolloutDevice, err error) {
	if _, _, failed := sums(r); failed == 0 {
		return nil, nil
	}
	for _, state := range []string{"failed", "silent"} {
		page, err := asked[api.RolloutDevices](c, "GET", fmt.Sprintf("%s/devices?state=%s&limit=%d", path, state, shownFailures), nil)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Devices...)
	}
	return out[:min(len(out), shownFailures)], nil
}

func rolloutDevices(c *cli.Context) error {
	path, err := rolloutPath(c)
	if err != nil {
		return err
	}
	client, err := serviceClient(c)
	if err != nil {
		return err
	}
	all := api.RolloutDevices{Devices: []api.RolloutDevice{}}
	most := c.Int("limit")
	for after := ""; ; after = all.Next {
		q := url.Values{"state": {c.String("state")}, "after": {after}, "limit": {fmt.Sprint(pageOf(most, len(all.Devices)))}}
		var page api.RolloutDevices
		if err := client.Do(c.Context, "GET", path+"/devices?"+q.Encode(), nil, &page); err != nil {
			return err
		}
		all.Devices, all.Next = append(all.Devices, page.Devices...), page.Next
		if page.Next == "" || most > 0 && len(all.Devices) >= most {
			break
		}
	}
	return serviceShow(c, all, func(w io.Writer) { deviceRows(w, all.Devices) })
}

// pageOf is how many to ask for, of most in all, 0 for no bound, when some are here.
func pageOf(most, here int) int {
	if most <= 0 {
		return 1000
	}
	return min(1000, most-here)
}

func deviceRows(w io.Writer, devices []api.RolloutDevice) {
	row(w, "DEVICE", "SERIAL", "PHASE", "STATE", "ATTEMPT", "WHY")
	for _, d := range devices {
		state, why := d.State, d.Reason
		if d.Update != nil && d.State == "updating" {
			state += " (" + stateText(*d.Update) + ")"
		}
		if d.Update != nil && d.Update.Detail != "" {
			why += ": " + d.Update.Detail
		}
		row(w, d.Device, d.Serial, d.Phase, state, d.Attempt, why)
	}
}
