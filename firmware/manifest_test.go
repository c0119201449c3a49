package firmware

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func blob(n int64, name string) Blob { return Blob{Length: n, SHA256: Sum([]byte(name))} }

func framed(n int64, name string) Framed {
	return Framed{blob(n, name), blob(HeaderLength+67, name+" head")}
}

// fullManifest uses every field.
func fullManifest() *Manifest {
	return &Manifest{
		Schema: 1, Product: "room-hub", Hardware: []string{"acme,hub-2", "acme,hub-2b"}, Version: "1.1.0+7",
		Counter: 12, Image: blob(1<<26, "image"), Artifact: framed(1<<24, "artifact"),
		Patches:      []Patch{{framed(1<<20, "patch"), blob(1<<26, "old image")}},
		Attestations: []Attestation{{"application/spdx+json", blob(5000, "sbom")}},
		MinAgent:     "1.0.0-rc.1", Notes: "Fixes <audio> & video.\n\tÄ\u2028ß \U0001F600",
	}
}

func mustEncodeManifest(t testing.TB, m *Manifest) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManifestBytes(t *testing.T) {
	m := fullManifest()
	m.Attestations = nil
	want := `{
  "schema": 1,
  "product": "room-hub",
  "hardware": [
    "acme,hub-2",
    "acme,hub-2b"
  ],
  "version": "1.1.0+7",
  "counter": 12,
  "image": {
    "length": 67108864,
    "sha256": "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
  },
  "artifact": {
    "length": 16777216,
    "sha256": "` + Sum([]byte("artifact")).String() + `",
    "head": {
      "length": 99,
      "sha256": "` + Sum([]byte("artifact head")).String() + `"
    }
  },
  "patches": [
    {
      "length": 1048576,
      "sha256": "` + Sum([]byte("patch")).String() + `",
      "head": {
        "length": 99,
        "sha256": "` + Sum([]byte("patch head")).String() + `"
      },
      "from": {
        "length": 67108864,
        "sha256": "` + Sum([]byte("old image")).String() + `"
      }
    }
  ],
  "min_agent": "1.0.0-rc.1",
  "notes": "Fixes <audio> & video.\n\tÄ\u2028ß ` + "\U0001F600" + `"
}
`
	if got := string(mustEncodeManifest(t, m)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestManifestRoundTrip(t *testing.T) {
	least := fullManifest()
	least.Patches, least.Attestations, least.MinAgent, least.Notes = nil, nil, "", ""
	empty := fullManifest()
	empty.Image = Blob{0, Sum(nil)}
	empty.Artifact = Framed{blob(HeaderLength, "a"), blob(HeaderLength, "a")}
	for _, m := range []*Manifest{fullManifest(), least, empty} {
		got, err := ParseManifest(mustEncodeManifest(t, m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, m)
		}
	}
}

// The manifest of what an encoder made is valid, for any image.
func TestManifestTakesWhatEncodeMade(t *testing.T) {
	for _, image := range [][]byte{nil, {1}, make([]byte, MinFrameSize), noise(MinFrameSize+1, 1)} {
		_, e := mustEncode(t, image, EncodeOptions{FrameSize: MinFrameSize})
		m := fullManifest()
		m.Image, m.Artifact = e.Image, e.Artifact
		mustEncodeManifest(t, m)
	}
}

func TestParseManifestRefusesOtherForms(t *testing.T) {
	good := string(mustEncodeManifest(t, fullManifest()))
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("manifest has no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	plain := fullManifest()
	plain.Patches, plain.Attestations = nil, nil
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, b, want string }{
		{"empty", "", "JSON"},
		{"null", "null", "null"},
		{"array", "[]", "cannot unmarshal"},
		{"compact", compact.String(), "canonical"},
		{"no final newline", strings.TrimSuffix(good, "\n"), "canonical"},
		{"second newline", good + "\n", "canonical"},
		{"second value", good + "{}", "invalid character"},
		{"CRLF", strings.ReplaceAll(good, "\n", "\r\n"), "canonical"},
		{"BOM", "\ufeff" + good, "invalid character"},
		{"unknown member", replace(`"schema": 1,`, `"schema": 1,`+"\n"+`  "extra": 1,`), "unknown field"},
		{"other case", replace(`"counter"`, `"Counter"`), "canonical"},
		{"twice", replace(`"counter": 12,`, `"counter": 11,`+"\n"+`  "counter": 12,`), "two values"},
		{"twins", replace(`"counter": 12,`, `"counter": 12,`+"\n"+`  "COUNTER": 13,`), "two values"},
		{"null member", replace(`"counter": 12`, `"counter": null`), "null"},
		{"float", replace(`"counter": 12`, `"counter": 12.0`), "not an integer"},
		{"exponent", replace(`"counter": 12`, `"counter": 12e0`), "not an integer"},
		{"text for a number", replace(`"counter": 12`, `"counter": "12"`), "cannot unmarshal"},
		{"escape not needed", replace(`"room-hub"`, `"room\u002dhub"`), "canonical"},
		{"HTML escape", replace(`<audio>`, `\u003caudio>`), "canonical"},
		{"upper-case digest", replace(Sum([]byte("image")).String(), strings.ToUpper(Sum([]byte("image")).String())), "lower-case"},
		{"short digest", replace(Sum([]byte("image")).String(), Sum([]byte("image")).String()[1:]), "63 characters"},
		{"half a surrogate pair", replace("Fixes", `\ud83d`), "surrogate"},
		{"not UTF-8", replace("Fixes", "\xff"), "UTF-8"},
		{"empty list", strings.Replace(string(mustEncodeManifest(t, plain)), `"min_agent"`, `"patches": [],`+"\n"+`  "min_agent"`, 1), "canonical"},
		{"other order", replace(`  "schema": 1,`+"\n"+`  "product": "room-hub",`, `  "product": "room-hub",`+"\n"+`  "schema": 1,`), "canonical"},
		{"too long", strings.Repeat(" ", MaxManifest+1), "at most"},
		{"deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseManifest([]byte(tt.b))
			if m != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestManifestIsChecked(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Manifest)
		want   string
	}{
		{"schema", func(m *Manifest) { m.Schema = 2 }, "schema 2 is unknown"},
		{"product", func(m *Manifest) { m.Product = "root" }, "product"},
		{"version", func(m *Manifest) { m.Version = "a/b" }, "version"},
		{"counter 0", func(m *Manifest) { m.Counter = 0 }, "counter 0"},
		{"counter negative", func(m *Manifest) { m.Counter = -1 }, "counter -1"},
		{"counter 2^53", func(m *Manifest) { m.Counter = 1 << 53 }, "counter 9007199254740992"},
		{"no hardware", func(m *Manifest) { m.Hardware = nil }, "0 hardware"},
		{"hardware form", func(m *Manifest) { m.Hardware = []string{""} }, "hardware \"\""},
		{"hardware twice", func(m *Manifest) { m.Hardware = []string{"a", "b", "a"} }, "listed twice"},
		{"much hardware", func(m *Manifest) { m.Hardware = make([]string, 65) }, "65 hardware"},
		{"min agent", func(m *Manifest) { m.MinAgent = "1.0" }, "least agent"},
		{"notes with escapes", func(m *Manifest) { m.Notes = "\x1b[2J" }, "control character at byte 0"},
		{"notes that turn", func(m *Manifest) { m.Notes = "a\u202eb" }, "control character at byte 1"},
		{"notes not UTF-8", func(m *Manifest) { m.Notes = "\xff" }, "UTF-8"},
		{"notes long", func(m *Manifest) { m.Notes = strings.Repeat("x", 16<<10+1) }, "notes"},
		{"image length negative", func(m *Manifest) { m.Image.Length = -1 }, "image: length"},
		{"image too long", func(m *Manifest) { m.Image.Length = MaxImage + 1 }, "image of"},
		{"image of 2^63-1", func(m *Manifest) { m.Image.Length = 1<<63 - 1 }, "image: length"},
		{"image without digest", func(m *Manifest) { m.Image.SHA256 = Digest{} }, "image: SHA-256"},
		{"empty image of other digest", func(m *Manifest) { m.Image.Length = 0 }, "image: SHA-256"},
		{"digest of nothing", func(m *Manifest) { m.Image.SHA256 = Sum(nil) }, "image: SHA-256"},
		{"artifact", func(m *Manifest) { m.Artifact.Length = maxLength + 1 }, "artifact: length"},
		{"head short", func(m *Manifest) { m.Artifact.Head.Length = 31 }, "artifact: head"},
		{"head above the file", func(m *Manifest) { m.Artifact.Length = 50 }, "artifact: head"},
		{"head above its limit", func(m *Manifest) { m.Artifact.Head.Length = MaxHead + 1; m.Artifact.Length = MaxImage }, "artifact: head"},
		{"head is the file, digest differs", func(m *Manifest) { m.Artifact.Head.Length = m.Artifact.Length }, "artifact: head"},
		{"head digest", func(m *Manifest) { m.Artifact.Head.SHA256 = Digest{} }, "artifact head: SHA-256"},
		{"patch from itself", func(m *Manifest) { m.Patches[0].From = m.Image }, "is the image itself"},
		{"patch twice", func(m *Manifest) { m.Patches = append(m.Patches, m.Patches[0]) }, "has a patch already"},
		{"patch base", func(m *Manifest) { m.Patches[0].From.Length = -1 }, "patch 1 from"},
		{"patch file", func(m *Manifest) { m.Patches[0].SHA256 = Digest{} }, "patch 1"},
		{"many patches", func(m *Manifest) { m.Patches = make([]Patch, 65) }, "65 patches"},
		{"attestation type", func(m *Manifest) { m.Attestations[0].Type = "a b" }, "attestation type"},
		{"attestation", func(m *Manifest) { m.Attestations[0].Length = -1 }, "attestation 1"},
		{"attestation twice", func(m *Manifest) { m.Attestations = append(m.Attestations, m.Attestations[0]) }, "listed twice"},
		{"many attestations", func(m *Manifest) { m.Attestations = make([]Attestation, 33) }, "33 attestations"},
		{"one digest, two lengths", func(m *Manifest) { m.Attestations[0].Blob = Blob{1, m.Image.SHA256} }, "stands for"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := fullManifest()
			tt.change(m)
			b, err := m.Encode()
			if b != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestManifestTooLong(t *testing.T) {
	m := fullManifest()
	m.Notes = strings.Repeat("\n\u2028", 4096) // 4 bytes in, 8 out
	for i := range 64 {
		name := strings.Repeat("x", i)
		m.Patches = append(m.Patches[:i], Patch{framed(1000, "patch"+name), blob(1000, "base"+name)})
	}
	for i := range 32 {
		m.Attestations = append(m.Attestations[:i], Attestation{strings.Repeat("t", 96+i), blob(1000, "sbom")})
	}
	if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), "shorten the notes") {
		t.Errorf("got %v", err)
	}
}

func TestBlobs(t *testing.T) {
	m := fullManifest()
	sbom := m.Attestations[0].Blob
	m.Attestations = append(m.Attestations, Attestation{"another/type", sbom})
	want := []Blob{m.Artifact.Blob, m.Patches[0].Blob, sbom}
	if got := m.Blobs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFits(t *testing.T) {
	m := fullManifest()
	for hardware, want := range map[string]bool{"acme,hub-2": true, "acme,hub-2b": true, "acme,hub": false, "ACME,HUB-2": false, "": false} {
		if m.Fits(hardware) != want {
			t.Errorf("%q: got %v", hardware, !want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	full, err := fullManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Add(bytes.Replace(full, []byte("12"), []byte("12.0"), 1))
	f.Add(bytes.Replace(full, []byte(`"counter"`), []byte(`"Counter"`), 1))
	f.Add([]byte(`{"schema":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("manifest does not print back to itself: %v", err)
		}
	})
}
