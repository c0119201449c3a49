package firmware

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		kind  string
		check func(string) error
		good  []string
		bad   []string
	}{
		{"product", CheckProduct,
			[]string{"a", "0", "room-hub", "hub_2.x", "roots", long},
			[]string{"", "root", "targets", "snapshot", "timestamp", "Hub", ".hub", "-hub", "_hub", "a/b", "a b", "a..b", "hub..", "a+b", "ä", "a\n", "a\x00", "a\\b", "a%2f", long + "a"}},
		{"version", CheckVersion,
			[]string{"1", "1.2.3", "1.2.3-rc.1+build_5", "V2", "2024a", long},
			[]string{"", ".", "..", "1..2", ".1", "-1", "+1", "1/2", "1 2", "1\n", "1,2", "1~2", "é", long + "a"}},
		{"hardware", CheckHardware,
			[]string{"acme,hub-2", "x86_64", "A", "a..b", long},
			[]string{"", ",a", ".a", "a b", "a/b", "a\n", "a+b", long + "a"}},
		{"attestation type", CheckAttestationType,
			[]string{"application/vnd.in-toto+json", "https://slsa.dev/provenance/v1?x=1#y", "sbom", long + long},
			[]string{"", "a b", "/a", "a\n", "a\"", "a\\", "a<", long + long + "a"}},
	}
	for _, tt := range tests {
		for _, s := range tt.good {
			if err := tt.check(s); err != nil {
				t.Errorf("%s %q is refused: %v", tt.kind, s, err)
			}
		}
		for _, s := range tt.bad {
			if tt.check(s) == nil {
				t.Errorf("%s %q is accepted", tt.kind, s)
			}
		}
	}
}

func TestTargetPath(t *testing.T) {
	p := TargetPath("room-hub", "1.2.3+4")
	if p != "room-hub/1.2.3+4.json" {
		t.Errorf("path is %q", p)
	}
	product, version, err := ParseTargetPath(p)
	if product != "room-hub" || version != "1.2.3+4" || err != nil {
		t.Errorf("got %q, %q, %v", product, version, err)
	}
	for _, bad := range []string{"", "/", "hub", "hub/", "hub/1", "hub/.json", "/1.json", "root/1.json", "hub/1.json/", "hub/a/1.json",
		"/hub/1.json", "hub/../1.json", "../hub/1.json", "hub/..json", "Hub/1.json", "hub/1.JSON", "hub//1.json", "hub/1.json "} {
		if product, version, err := ParseTargetPath(bad); err == nil {
			t.Errorf("%q is read as %q, %q", bad, product, version)
		}
	}
}

func TestAgentAtLeast(t *testing.T) {
	tests := []struct {
		agent, min string
		want, ok   bool
	}{
		{"1.0.0", "", true, true},
		{"1.0.0", "1.0.0", true, true},
		{"1.0.1", "1.0.0", true, true},
		{"1.10.0", "1.9.0", true, true},
		{"0.9.9", "1.0.0", false, true},
		{"1.0.0-rc.1", "1.0.0", false, true},
		{"1.0.0", "1.0.0-rc.1", true, true},
		{"1.0.0-rc.2", "1.0.0-rc.10", false, true},
		{"10000000000000000000000.0.0", "9999999999999999999999.0.0", true, true},
		{"", "1.0.0", false, false},
		{"", "", false, false},
		{"1.0", "1.0.0", false, false},
		{"v1.0.0", "1.0.0", false, false},
		{"1.0.0+b", "1.0.0", false, false},
		{"1.0.0", "1", false, false},
		{"1.0.0", "01.0.0", false, false},
		{"1.0.0", "1.0.0-", false, false},
		{"1.0.0", "1.0.0 ", false, false},
		{"1.0.0", "1.0.0-" + strings.Repeat("a", 64), false, false},
	}
	for _, tt := range tests {
		got, err := AgentAtLeast(tt.agent, tt.min)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("agent %q, least %q: got %v, %v", tt.agent, tt.min, got, err)
		}
	}
}

func TestDigestText(t *testing.T) {
	const text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	d := Sum([]byte("abc"))
	if d.String() != text {
		t.Errorf("SHA-256 of abc is %v", d)
	}
	if got, err := ParseDigest(text); got != d || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if (Digest{}).IsZero() != true || d.IsZero() {
		t.Error("IsZero is wrong")
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ToUpper(text), text[:63] + "g", " " + text[1:], "0x" + text[2:]} {
		if got, err := ParseDigest(bad); err == nil || !got.IsZero() {
			t.Errorf("%q is read as %v, %v", bad, got, err)
		}
	}
}
