package conduct

import (
	"context"
	"maps"
	"testing"

	"github.com/fairlead/fairlead/simulator/report"
	"github.com/fairlead/fairlead/simulator/scenario"
	"github.com/fairlead/fairlead/tufrepo/service/api"
)

// TestFacesAreSeen: what a kind says of its units is what the service says of its devices; and who is told in the place of being asked is
// interrupted.
func TestFacesAreSeen(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse([]byte(`
name: faces
units: 4
over: plain
begins: 2026-01-05T08:30:00+01:00
fleet:
  - {name: office, share: 50%, serial: BU-, mac: "0a:0b:0c", hardware: bu-200, rooms: [Amber, Birch], inventory: {contract: leased},
     hours: {from: "08:00", to: "18:00", zone: Europe/Berlin}}
  - {name: other, share: 50%, hours: {from: "10:00", to: "11:00"}}
images: {size: 256KiB}
releases: [{version: 1.0.0}, {version: 1.1.0}]
events: [{at: 0s, direct: 1.1.0}]
expect: [{committed: 1.1.0}, {interrupted: none}, {interrupted: none, of: other}]
`), "faces.yaml", ".")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRun(s, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	rooms, faces := map[string]int{}, map[string]int{}
	r.Sampled = func(report.Sample) {
		if page, err := r.site.Devices(t.Context(), ""); err == nil && r.wall.up.Load() != 0 {
			clear(rooms)
			clear(faces)
			count(page, rooms, faces)
		}
	}
	if err := r.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.live(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.judge(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(rooms, map[string]int{"Amber": 1, "Birch": 1, "": 2}) {
		t.Errorf("rooms: %v", rooms)
	}
	if !maps.Equal(faces, map[string]int{"BU- 0a:0b:0c bu-200 Europe/Berlin leased": 2, "SIM 02:f1:00 bu-100  ": 2}) {
		t.Errorf("faces: %v", faces)
	}
	if v := r.out.Verdicts; !v[0].OK || v[1].OK || !v[2].OK {
		t.Errorf("%+v", v)
	}
}

func count(page api.Devices, rooms, faces map[string]int) {
	for _, d := range page.Devices {
		rooms[d.Attributes["room"]]++
		faces[d.Serial[:3]+" "+d.MAC[:8]+" "+d.Hardware+" "+d.Zone+" "+d.Attributes["contract"]]++
	}
}
