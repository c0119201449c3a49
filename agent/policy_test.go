package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// shelf is an image repository that holds what a test puts there. Like the real one it
// knows nothing before it was refreshed, and gives only manifests that it vouches for.
type shelf struct {
	stale     error // of Refresh
	fresh     bool
	manifests map[string]*firmware.Manifest
	channel   firmware.Channel
	broken    error // of Manifest
}

func (s *shelf) Refresh(context.Context) error {
	s.fresh = s.stale == nil
	return s.stale
}

func (s *shelf) Target(_ context.Context, path string) (client.Target, error) {
	if !s.fresh {
		return client.Target{}, errors.New("not refreshed")
	}
	m, ok := s.manifests[path]
	if !ok {
		return client.Target{}, client.ErrNoTarget
	}
	b, err := m.Encode()
	if err != nil {
		return client.Target{}, err
	}
	return client.Target{Path: path, Length: int64(len(b)), SHA256: firmware.Sum(b), Role: m.Product, Channel: s.channel}, nil
}

func (s *shelf) Manifest(_ context.Context, t client.Target) (*firmware.Manifest, error) {
	return s.manifests[t.Path], s.broken
}

func manifest(edit func(*firmware.Manifest)) *firmware.Manifest {
	blob := func(s string) firmware.Blob {
		return firmware.Blob{Length: int64(len(s)), SHA256: firmware.Sum([]byte(s))}
	}
	m := &firmware.Manifest{
		Schema: 1, Product: "base", Hardware: []string{"bu-100", "bu-200"}, Version: "1.1.0", Counter: 5,
		Image: blob("image"), Artifact: firmware.Framed{Blob: blob(strings.Repeat("a", 64)), Head: blob(strings.Repeat("h", 40))},
	}
	edit(m)
	return m
}

func TestDecide(t *testing.T) {
	same := func(*firmware.Manifest) {}
	for _, tt := range []struct {
		name   string
		edit   func(*firmware.Manifest) // of the release
		wish   func(*wish)
		device func(*device)
		shelf  func(*shelf)
		want   Reason // "" for yes
	}{
		{name: "good"},
		{name: "same counter again", device: func(d *device) { d.floor = 5 }},
		{name: "image as large as the slot", device: func(d *device) { d.capacity = 5 }},
		{name: "agent new enough", edit: func(m *firmware.Manifest) { m.MinAgent = "1.2.3" }},
		{name: "director takes it for something else", wish: func(w *wish) { w.hardware = "bu-300" }, want: WrongHardware},
		{name: "other hardware", edit: func(m *firmware.Manifest) { m.Hardware = []string{"gw-1"} }, want: WrongHardware},
		{name: "part of the hardware's name", edit: func(m *firmware.Manifest) { m.Hardware = []string{"bu-1000"} }, want: WrongHardware},
		{name: "other product", device: func(d *device) { d.product = "gateway" }, want: WrongProduct},
		{name: "not promoted", shelf: func(s *shelf) { s.channel = firmware.Beta }, want: WrongChannel},
		{name: "not promoted far enough", shelf: func(s *shelf) { s.channel = firmware.Dev }, device: func(d *device) { d.channel = firmware.Beta }, want: WrongChannel},
		{name: "not promoted, asked for at the device", shelf: func(s *shelf) { s.channel = firmware.Beta }, wish: func(w *wish) { w.local = true }, want: WrongChannel},
		{name: "beta for a beta device", shelf: func(s *shelf) { s.channel = firmware.Beta }, device: func(d *device) { d.channel = firmware.Beta }},
		{name: "stable for a beta device", device: func(d *device) { d.channel = firmware.Beta }},
		{name: "older", device: func(d *device) { d.floor = 6 }, want: OlderRelease},
		{name: "image too large", device: func(d *device) { d.capacity = 4 }, want: SlotTooSmall},
		{name: "agent too old", edit: func(m *firmware.Manifest) { m.MinAgent = "1.2.4" }, want: AgentTooOld},
		{name: "agent of unknown version", edit: func(m *firmware.Manifest) { m.MinAgent = "0.0.1" }, device: func(d *device) { d.agent = "dev" }, want: AgentTooOld},
		{name: "other length", wish: func(w *wish) { w.target.Length++ }, want: Disagree},
		{name: "other hash", wish: func(w *wish) { w.target.SHA256[0]++ }, want: Disagree},
		{name: "other counter", wish: func(w *wish) { w.target.Counter++ }, want: Disagree},
		{name: "manifest under another name", shelf: func(s *shelf) { s.manifests["base/1.2.0.json"] = s.manifests["base/1.1.0.json"] },
			wish: func(w *wish) { w.target.Path = "base/1.2.0.json" }, want: Disagree},
		{name: "unknown", wish: func(w *wish) { w.target.Path = "base/9.json" }, want: NoTarget},
		{name: "expired", shelf: func(s *shelf) { s.stale = &client.Error{Class: "expired", Err: &client.ExpiredError{}} }, want: Expired},
		{name: "rolled back", shelf: func(s *shelf) { s.stale = client.ErrRollback }, want: RollbackMetadata},
		{name: "unsigned", shelf: func(s *shelf) { s.stale = client.ErrSignature }, want: Signature},
		{name: "no network", shelf: func(s *shelf) { s.stale = fmt.Errorf("get: %w", client.ErrUnavailable) }, want: Unavailable},
		{name: "captive portal", shelf: func(s *shelf) { s.stale = client.ErrCaptive }, want: CaptivePortal},
		{name: "cut off manifest", shelf: func(s *shelf) { s.broken = fmt.Errorf("x: %w", io.ErrUnexpectedEOF) }, want: IO},
		{name: "altered manifest", shelf: func(s *shelf) { s.broken = client.ErrCorrupt }, want: Corrupt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.edit == nil {
				tt.edit = same
			}
			m := manifest(tt.edit)
			s := &shelf{manifests: map[string]*firmware.Manifest{"base/1.1.0.json": m}}
			b, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			w := wish{hardware: "bu-100", target: target{Path: "base/1.1.0.json", Length: int64(len(b)), SHA256: firmware.Sum(b), Counter: 5}}
			d := device{product: "base", hardware: "bu-100", agent: "1.2.3", floor: 4, capacity: 100}
			apply(tt.wish, &w)
			apply(tt.device, &d)
			apply(tt.shelf, s)
			got, err := decide(context.Background(), w, d, s)
			if tt.want == "" {
				if err != nil || got != m {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			if r := ReasonOf(err); r != tt.want {
				t.Errorf("reason %s, want %s: %v", r, tt.want, err)
			}
		})
	}
}

func apply[T any](edit func(*T), v *T) {
	if edit != nil {
		edit(v)
	}
}

// TestDecideLocal: a person's wish need not agree with a director, and must fit all the same.
func TestDecideLocal(t *testing.T) {
	m := manifest(func(*firmware.Manifest) {})
	s := &shelf{manifests: map[string]*firmware.Manifest{"base/1.1.0.json": m}}
	d := device{product: "base", hardware: "bu-100", agent: "1.2.3", floor: 4, capacity: 100}
	w := wish{target: target{Path: "base/1.1.0.json"}, local: true}
	if _, err := decide(context.Background(), w, d, s); err != nil {
		t.Error(err)
	}
	d.floor = 6
	if _, err := decide(context.Background(), w, d, s); ReasonOf(err) != OlderRelease {
		t.Errorf("older release: %v", err)
	}
}

// TestReasonWords: the words are stable; reports and scripts know them.
func TestReasonWords(t *testing.T) {
	words := "wrong_hardware wrong_product older_release agent_too_old slot_too_small no_space corrupt expired " +
		"rollback_metadata signature disagree no_target unavailable captive_portal health boot_failed clock superseded busy io"
	for _, r := range []Reason{WrongHardware, WrongProduct, OlderRelease, AgentTooOld, SlotTooSmall, NoSpace, Corrupt, Expired,
		RollbackMetadata, Signature, Disagree, NoTarget, Unavailable, CaptivePortal, Health, BootFailed, Clock, Superseded, Busy, IO} {
		before, after, ok := strings.Cut(" "+words+" ", " "+string(r)+" ")
		if !ok {
			t.Errorf("%s is no reason", r)
		}
		words = strings.TrimSpace(before + " " + after)
	}
	if words != "" {
		t.Errorf("missing: %s", words)
	}
}
