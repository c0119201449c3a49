package firmware

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

func TestChannelTakes(t *testing.T) {
	for device, want := range map[Channel]string{Dev: "dev beta stable", Beta: "beta stable", Stable: "stable"} {
		var got []string
		for _, r := range channels {
			if device.Takes(r) {
				got = append(got, string(r))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s takes %v, want %s", device, got, want)
		}
	}
	for _, c := range []Channel{"", "Dev", "nightly", "stable "} {
		if c.Check() == nil {
			t.Errorf("%q passed for a channel", c)
		}
	}
}

func TestParseChannels(t *testing.T) {
	for _, tt := range []struct {
		json string
		want map[string]Channel
		err  string
	}{
		{json: `{}`},
		{json: `{"x-fairlead-channels":{"1.0.0":"dev","1.1.0":"beta"}}`, want: map[string]Channel{"1.0.0": Dev, "1.1.0": Beta}},
		{json: `{"x-fairlead-channels":{}}`, err: "not an object of versions"},
		{json: `{"x-fairlead-channels":"dev"}`, err: "not an object of versions"},
		{json: `{"x-fairlead-channels":["1.0.0"]}`, err: "not an object of versions"},
		{json: `{"x-fairlead-channels":{"1.0.0":"stable"}}`, err: "neither dev nor beta"},
		{json: `{"x-fairlead-channels":{"1.0.0":1}}`, err: "neither dev nor beta"},
		{json: `{"x-fairlead-channels":{"1.0.0":"DEV"}}`, err: "neither dev nor beta"},
		{json: `{"x-fairlead-channels":{"../1":"dev"}}`, err: "version"},
	} {
		var members map[string]any
		if err := json.Unmarshal([]byte(tt.json), &members); err != nil {
			t.Fatal(err)
		}
		got, err := ParseChannels(members)
		if tt.err == "" && (err != nil || !maps.Equal(got, tt.want)) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, %v", tt.json, got, err)
		}
	}
}
