package direction_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/direction"
)

// The bytes under the signature are the contract with devices of another age.
func TestSignedBytes(t *testing.T) {
	const head = `{"_type":"targets","expires":"2026-09-08T10:00:00Z","spec_version":"1.0.31","targets":{"base/1.1.0.json":{` +
		`"custom":{"counter":2,"hardware":"base-unit-1"},"hashes":{"sha256":"SUM"},"length":812}},"version":7,"x-fairlead-direction":{`
	const device = `"device":"9f0c6dfc-0e3a-4f0e-8f43-7d0f3c0f0001","hardware":"base-unit-1","issued":"2026-09-01T10:00:00Z",`
	const update = `"update":"4e1d0a52-52a8-4a3f-9a39-0d8c7a6b5c4d"}}`
	for want, d := range map[string]direction.Direction{
		head + device + `"schema":1,"tenant":"acme",` + update: install(),
		head + `"defer_until":"2026-09-04T10:00:00Z",` + device + `"kind":"soft","schema":1,"tenant":"acme","until":"2026-09-02T04:00:00Z",` + update: softly(),
	} {
		want = strings.Replace(want, "SUM", firmware.Sum([]byte("manifest")).String(), 1)
		if got := signedPart(t, d); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	off := signedPart(t, offline())
	if !strings.Contains(off, `"offline":true`) || !strings.Contains(off, `"targets":{}`) {
		t.Errorf("offline: %s", off)
	}
}

// signedPart is what is signed, with sorted members.
func signedPart(t *testing.T, d direction.Direction) string {
	t.Helper()
	var raw struct{ Signed any }
	if err := json.Unmarshal(sign(t, d, ed25519Key(t)), &raw); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(raw.Signed)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func softly() direction.Direction {
	d := install()
	d.Kind, d.Until, d.DeferUntil = direction.Soft, issued.Add(18*time.Hour), issued.Add(72*time.Hour)
	return d
}

func offline() direction.Direction {
	d := nothing()
	d.Offline, d.Update = true, install().Update
	return d
}

func kind(k direction.Kind) direction.Direction {
	d := install()
	d.Kind = k
	return d
}

func TestTermsRoundTrip(t *testing.T) {
	k := ed25519Key(t)
	asked := kind(direction.Ask)
	asked.DeferUntil = issued.Add(time.Hour)
	window := install()
	window.Until = issued.Add(-time.Hour) // issued anew after its end
	for name, d := range map[string]direction.Direction{
		"soft": softly(), "offline": offline(), "ask": kind(direction.Ask), "ask until": asked,
		"download only": kind(direction.DownloadOnly), "forced": kind(direction.Forced), "window": window,
	} {
		got, err := direction.Verify(sign(t, d, k), rootFor(t, 1, k), issued)
		if err != nil || !equal(got, d) {
			t.Errorf("%s: Verify = %+v, %v; want %+v", name, got, err, d)
		}
	}
}

func TestRefusedTerms(t *testing.T) {
	for name, change := range map[string]func(*direction.Direction){
		"unknown kind":            func(d *direction.Direction) { d.Kind = "perhaps" },
		"kind without target":     func(d *direction.Direction) { d.Target, d.Update = nil, "" },
		"until without target":    func(d *direction.Direction) { d.Target, d.Update, d.Kind, d.DeferUntil = nil, "", "", time.Time{} },
		"soft without end":        func(d *direction.Direction) { d.DeferUntil = time.Time{} },
		"forced, and put off":     func(d *direction.Direction) { d.Kind = direction.Forced },
		"download, and put off":   func(d *direction.Direction) { d.Kind = direction.DownloadOnly },
		"until in nanoseconds":    func(d *direction.Direction) { d.Until = d.Until.Add(1) },
		"defer_until elsewhere":   func(d *direction.Direction) { d.DeferUntil = d.DeferUntil.In(time.FixedZone("", 3600)) },
		"offline with a target":   func(d *direction.Direction) { d.Offline = true },
		"offline without a name":  func(d *direction.Direction) { *d = nothing(); d.Offline = true },
		"offline, and put off":    func(d *direction.Direction) { e := d.DeferUntil; *d = offline(); d.DeferUntil = e },
		"offline, name not a id":  func(d *direction.Direction) { *d = offline(); d.Update = "now" },
		"a name, nothing to name": func(d *direction.Direction) { *d = offline(); d.Offline = false },
	} {
		d := softly()
		change(&d)
		if raw, err := direction.Sign(d, ed25519Key(t)); err == nil {
			t.Errorf("%s: signed %s", name, raw)
		}
	}
}

// A thief of the online key cannot make a device read one kind as another.
func TestHostileTerms(t *testing.T) {
	k := ed25519Key(t)
	root := rootFor(t, 1, k)
	for name, terms := range map[string]string{
		"unknown kind":   `"kind":"later"`,
		"kind a number":  `"kind":1`,
		"kind in caps":   `"KIND":"soft"`,
		"no moment":      `"until":"tomorrow"`,
		"soft for ever":  `"kind":"soft"`,
		"offline a word": `"offline":"yes"`,
		"fractions":      `"until":"2026-09-02T04:00:00.5Z"`,
	} {
		bad := strings.Replace(good, `"schema":1`, terms+`,"schema":1`, 1)
		if got, err := direction.Verify(signJSON(t, k, bad), root, issued); !errors.Is(err, direction.ErrFormat) {
			t.Errorf("%s: %+v, %v; want ErrFormat", name, got, err)
		}
	}
	// Another zone is another way to write the same moment.
	fine := strings.Replace(good, `"schema":1`, `"until":"2026-09-02T06:00:00+02:00","schema":1`, 1)
	got, err := direction.Verify(signJSON(t, k, fine), root, issued)
	if err != nil || !got.Until.Equal(issued.Add(18*time.Hour)) {
		t.Errorf("%+v, %v", got, err)
	}
}
