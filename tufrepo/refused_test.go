package tufrepo

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/tufrepo/internal/refusedtest"
	"github.com/fairlead/fairlead/tufrepo/keyref"
)

// repository.json, and the references of online keys.
func TestRefused(t *testing.T) {
	refusedtest.Run(t, 25, map[string]func(*testing.T, []byte) error{
		"repository": func(_ *testing.T, body []byte) error { _, err := parseConfig(body); return err },
		"onlineref":  func(_ *testing.T, body []byte) error { _, err := parseRef(body); return err },
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"schema":1,"timestamp_life":"24h0m0s","snapshot_life":"168h0m0s"}`))
	refusedtest.Seed(f, "repository")
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseConfig(raw)
		if err == nil && (c.Schema != 1 || time.Duration(c.TimestampLife) < time.Minute || c.SnapshotLife < c.TimestampLife) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzParseRef(f *testing.F) {
	f.Add([]byte("/srv/timestamp.key\n"))
	f.Add([]byte("pkcs11:token=fw;object=timestamp?pin-source=file:/run/pin\n"))
	refusedtest.Seed(f, "onlineref")
	f.Fuzz(func(t *testing.T, raw []byte) {
		ref, err := parseRef(raw)
		if err == nil && (strings.ContainsAny(ref, "\n\r\x00") || len(ref) > maxRef || keyref.Scheme(ref) == "" && ref[0] != '/') {
			t.Errorf("%q", ref)
		}
	})
}
