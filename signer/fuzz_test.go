package signer

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// FuzzOwners: whatever a root says of whose its keys are, a label is a plain word of those that are shown.
func FuzzOwners(f *testing.F) {
	f.Add([]byte(`{"x-fairlead-owners":{"ab":"dora"}}`))
	f.Add([]byte(`{"x-fairlead-owners":{"ab":"\u001b[2J","cd":7,"ef":null}}`))
	f.Add([]byte(`{"x-fairlead-owners":["dora"]}`))
	f.Add([]byte(`{"x-fairlead-owners":{"ab":"dora\nROOT signed"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var members map[string]any
		if json.Unmarshal(raw, &members) != nil {
			return
		}
		for id, label := range owners(members) {
			if !ownerPattern.MatchString(label) {
				t.Errorf("%q of %q", label, id)
			}
			if said := (Person{Owner: label, ID: id}).String(); !strings.HasPrefix(said, label+" (") {
				t.Errorf("%q", said)
			}
		}
	})
}

// FuzzInspect: whatever the bytes, a file is shown or refused, without a panic; and what is shown cannot act on the
// terminal.
func FuzzInspect(f *testing.F) {
	targets := metadata.Targets(start)
	targets.Signed.Delegations = &metadata.Delegations{
		Keys:  map[string]*metadata.Key{},
		Roles: []metadata.DelegatedRole{{Name: "x\x1b[2J\nforged line", KeyIDs: []string{"\x07"}, Threshold: 1, Paths: []string{"*"}}},
	}
	evil, err := bundle.Encode(targets)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(evil)
	f.Add([]byte(`{"signed":{"_type":"targets","targets":{"a":null}},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"_type":"root","roles":{"root":null},"keys":{}},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"_type":"targets","x-fairlead-direction":{"device":"\u001b"},"targets":{}},"signatures":[]}`))
	f.Add([]byte(`{"schema":1,"product":"cam"}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"messageDigest":{"algorithm":"SHA2_256"}},"verificationMaterial":{"certificate":{"rawBytes":"AAAA"}}}`))
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiXHUwMDFiWzJKIiwiZGlnZXN0Ijp7InNoYTEiOiIifX1dLCJwcmVkaWNhdGVUeXBlIjoieDp5In0=","signatures":[{"sig":"AAAA"}]}`))
	f.Add([]byte("\x89FLA\r\n\x1a\n\x01\x01\x01\x14\xff\xff\xff\xff"))
	f.Add([]byte("\x89FLP\r\n\x1a\n\x01\x01\x01\x15\xff\xff\xff\xff"))
	head, err := firmware.NewPatchHead(firmware.Blob{Length: 9}, firmware.MinFrameSize, 100_000,
		[]firmware.Frame{{Kind: firmware.FrameZero}, {Kind: firmware.FrameDelta, Stored: 3}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(head.Encode(), "abc"...))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"))
	path := filepath.Join(f.TempDir(), "file")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := Inspect(path, start.Add(time.Hour))
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%v is not a refusal", err)
			}
			return
		}
		var shown bytes.Buffer
		check(t, in.WriteText(&shown))
		for _, line := range bytes.Split(shown.Bytes(), []byte("\n")) {
			if bytes.ContainsFunc(line, func(r rune) bool { return unicode.Is(unicode.C, r) && r != '\t' }) {
				t.Errorf("control character in %q", line)
			}
			if bytes.HasPrefix(bytes.TrimSpace(line), []byte("forged line")) {
				t.Errorf("a line of the file's own making: %q", line)
			}
		}
	})
}
