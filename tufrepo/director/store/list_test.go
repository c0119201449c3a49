package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/director/store"
)

// fleet makes n devices of tenant acme, with ids in no order.
func fleet(n int) []store.Device {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]store.Device, n)
	for i := range out {
		d := store.Device{ID: fmt.Sprintf("%08x-%04x-4000-8000-%012x", r.Uint32(), i&0xffff, i), Tenant: "acme", Product: "base", Hardware: "hw",
			Serial: fmt.Sprintf("BU-%06d", i), MAC: fmt.Sprintf("00:1A:2B:%02X:%02X:%02X", i>>16, i>>8&255, i&255),
			Group: fmt.Sprintf("Site %d/b%d/room-%d", i%3, i%5, i%50), Version: "1.1.0", State: "committed", Enrolled: now, Expires: now}
		switch {
		case i%100 == 7:
			d.Version, d.State = "1.0.0", "failed"
		case i%10 == 3:
			d.Product, d.Group = "gateway", ""
		}
		d.Key = []byte(d.ID)
		out[i] = d
	}
	return out
}

// addFleet stores devices, and what they report.
func addFleet(tb testing.TB, s *store.Store, devices []store.Device) {
	tb.Helper()
	update(tb, s, func(tx *store.Tx) error { return tx.AddTenant("acme", now) })
	for part := range slices.Chunk(devices, 1000) {
		update(tb, s, func(tx *store.Tx) error {
			for _, d := range part {
				if err := tx.AddDevice(d); err != nil {
					return err
				}
				d.Reported = fmt.Appendf(nil, `{"filler":%q}`, strings.Repeat("x", 700))
				if err := tx.SetReported(d.ID, d, now); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// matches is what DeviceQuery promises, written another way.
func matches(d store.Device, q store.DeviceQuery) bool {
	bare := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", ":", "", ".", "", " ", "", "_", "", "/", "").Replace(s))
	}
	text := bare(q.Text)
	return d.ID > q.After && (q.Group == "" || d.Group == q.Group || strings.HasPrefix(d.Group, q.Group+"/")) &&
		(q.Product == "" || d.Product == q.Product) && (q.Version == "" || d.Version == q.Version) && (q.State == "" || d.State == q.State) &&
		(strings.Contains(bare(d.Serial), text) || strings.Contains(bare(d.MAC), text) || strings.HasPrefix(bare(d.ID), text))
}

func TestDevicesAreFound(t *testing.T) {
	both(t, func(t *testing.T, where string) {
		s := open(t, where, store.Options{})
		devices := fleet(620) // more than are looked at one by one
		addFleet(t, s, devices)
		slices.SortFunc(devices, func(a, b store.Device) int { return strings.Compare(a.ID, b.ID) })
		for _, q := range []store.DeviceQuery{
			{}, {After: devices[400].ID}, {Limit: 7}, {Product: "gateway"}, {Product: "none"},
			{Version: "1.0.0"}, {State: "failed"}, {State: "committed"}, {State: "failed", Version: "1.1.0"},
			{Group: "Site 1"}, {Group: "Site 1/b2"}, {Group: "Site 1/b2/room-7"}, {Group: "Site"}, {Group: "Site 1", State: "failed"},
			{Text: "bu-00001"}, {Text: "BU 000017"}, {Text: "0017"}, {Text: "00:1a:2b:00:0"}, {Text: "2b0001"}, {Text: "%"}, {Text: "_"},
			{Text: devices[3].ID}, {Text: devices[3].ID[:10]}, {Text: devices[3].ID[9:]}, {Text: "b", Product: "gateway"}, {Text: "00", Limit: 20, After: devices[450].ID},
		} {
			q.Tenant = "acme"
			var want, got []string
			for _, d := range devices {
				if matches(d, q) && (q.Limit == 0 || len(want) < q.Limit) && len(want) < 1000 {
					want = append(want, d.ID)
				}
			}
			view(t, s, func(tx *store.Tx) error {
				all, err := tx.Devices(q)
				for _, d := range all {
					got = append(got, d.ID)
				}
				return err
			})
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d devices, want %d", q, len(got), len(want))
			}
		}
		foundByName(t, s, devices)
	})
}

// foundByName looks devices up by their names, as every enrolment does.
func foundByName(t *testing.T, s *store.Store, devices []store.Device) {
	t.Helper()
	view(t, s, func(tx *store.Tx) error {
		for _, d := range devices[:100] {
			for _, name := range [][2]string{{d.Serial, ""}, {"", d.MAC}, {"none", d.MAC}, {d.Serial, "none"}} {
				if got, err := tx.DeviceByName(d.Tenant, name[0], name[1]); err != nil || got.ID != d.ID {
					return fmt.Errorf("device %s is not found by serial %q or MAC %q, but %q: %w", d.ID, name[0], name[1], got.ID, err)
				}
			}
		}
		for _, name := range [][2]string{{"", ""}, {"none", ""}, {"", "none"}, {"none", "none"}} {
			if got, err := tx.DeviceByName("acme", name[0], name[1]); !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("serial %q or MAC %q is that of %q: %w", name[0], name[1], got.ID, err)
			}
		}
		return nil
	})
}

// TestRenamedDeviceIsFound looks for a device by its new serial, and not by the old one.
func TestRenamedDeviceIsFound(t *testing.T) { fresh(t, testRenamed) }

func testRenamed(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		d, err := tx.Device("d1")
		if err != nil {
			return err
		}
		d.Serial, d.MAC = "New-77", "AA:BB:CC"
		return tx.Reenrol(d)
	})
	for text, want := range map[string]int{"new7": 1, "w77": 1, "bbcc": 1, "d1": 1, "d1x": 0} {
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Devices(store.DeviceQuery{Tenant: "acme", Text: text})
			if len(all) != want {
				t.Errorf("%q finds %d devices, want %d", text, len(all), want)
			}
			return err
		})
	}
}

// BenchmarkDevicesPage reads pages of 100 among 100,000 devices.
func BenchmarkDevicesPage(b *testing.B) {
	devices := fleet(100_000)
	s := open(b, b.TempDir()+"/fairlead.db", store.Options{})
	addFleet(b, s, devices)
	for name, q := range map[string]store.DeviceQuery{
		"all": {}, "later": {After: "80000000"}, "product": {Product: "gateway"}, "none": {Product: "none"}, "version": {Version: "1.1.0"},
		"rare-state": {State: "failed"}, "site": {Group: "Site 1"}, "room": {Group: "Site 1/b2/room-7"}, "site-rare": {Group: "Site 1", State: "failed"},
		"serial": {Text: "099999"}, "common-text": {Text: "bu-0"}, "no-text": {Text: "zzz"}, "disjoint": {Product: "gateway", Group: "Site 1"},
	} {
		q.Tenant, q.Limit = "acme", 100
		b.Run(name, func(b *testing.B) {
			for range b.N {
				view(b, s, func(tx *store.Tx) error { _, err := tx.Devices(q); return err })
			}
		})
	}
}

func TestGroups(t *testing.T) { fresh(t, testGroups) }

func testGroups(t *testing.T, s *store.Store) {
	paths := func(want string) {
		t.Helper()
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Groups("acme")
			got := ""
			for _, g := range all {
				got += fmt.Sprintf("%s=%d ", g.Path, g.Devices)
			}
			if got != want {
				t.Errorf("groups %q, want %q", got, want)
			}
			return err
		})
	}
	try := func(want error, fn func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(t.Context(), fn); (err == nil) != (want == nil) || want != nil && !strings.Contains(err.Error(), want.Error()) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	try(nil, func(tx *store.Tx) error { return tx.SetGroup("d1", "Gent/B 1/r2", now) })
	try(nil, func(tx *store.Tx) error { return tx.AddGroup("acme", "Gent.x", now.Add(time.Hour)) })
	paths("Gent.x=0 Gent=0 Gent/B 1=0 Gent/B 1/r2=1 ")
	try(store.ErrConflict, func(tx *store.Tx) error { return tx.RemoveGroup("acme", "Gent") })
	try(store.ErrConflict, func(tx *store.Tx) error { return tx.RemoveGroup("acme", "Gent/B 1/r2") })
	try(store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveGroup("acme", "Brugge") })
	try(store.ErrConflict, func(tx *store.Tx) error { return tx.MoveGroup("acme", "Gent", "Gent.x", now) })
	try(store.ErrNotFound, func(tx *store.Tx) error { return tx.MoveGroup("acme", "Brugge", "x", now) })
	try(fmt.Errorf("below itself"), func(tx *store.Tx) error { return tx.MoveGroup("acme", "Gent", "Gent/B 2", now) })
	try(fmt.Errorf("at most"), func(tx *store.Tx) error { return tx.MoveGroup("acme", "Gent", "1/2/3/4/5/6/7", now) })
	try(nil, func(tx *store.Tx) error { return tx.MoveGroup("acme", "Gent/B 1", "Gent/C/x", now) })
	paths("Gent.x=0 Gent=0 Gent/C=0 Gent/C/x=0 Gent/C/x/r2=1 ")
	try(nil, func(tx *store.Tx) error { return tx.SetGroup("d1", "", now) })
	try(nil, func(tx *store.Tx) error { return tx.RemoveGroup("acme", "Gent/C/x/r2") })
	paths("Gent.x=0 Gent=0 Gent/C=0 Gent/C/x=0 ")
}

func TestCheckGroup(t *testing.T) {
	for path, ok := range map[string]bool{
		"a": true, "Site 1/B-2/room_3.4": true, "1/2/3/4/5/6/7/8": true, strings.Repeat("a", 200): true,
		"": false, "/a": false, "a/": false, "a//b": false, "1/2/3/4/5/6/7/8/9": false, strings.Repeat("a", 201): false,
		"é": false, "a\x00": false, "a/ b": false, "a /b": false, "..": false, "a/./b": false, "a%": false, "a\nb": false,
	} {
		if err := store.CheckGroup(path); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestProfile(t *testing.T) { fresh(t, testProfile) }

func testProfile(t *testing.T, s *store.Store) {
	update(t, s, func(tx *store.Tx) error {
		for _, err := range []error{tx.SetZone("d1", "Europe/Brussels"), tx.SetCloudOff("d1", true),
			tx.SetAttributes("d1", map[string]string{"seats": "12", "note": "é \" %"})} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx *store.Tx) error {
		d, err := tx.Device("d1")
		if d.Zone != "Europe/Brussels" || !d.CloudOff || len(d.Attributes) != 2 || d.Attributes["note"] != "é \" %" {
			t.Errorf("%+v", d)
		}
		return err
	})
	if err := s.Update(t.Context(), func(tx *store.Tx) error {
		return tx.SetAttributes("d1", map[string]string{"x": strings.Repeat("y", store.MaxAttributes)})
	}); err == nil {
		t.Error("attributes without end were stored")
	}
}
