package signer

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
)

// entitledWords say who may sign: "2 of alice (…), bob (…)".
func entitledWords(e bundle.Entitled, labels map[string]string) string {
	return fmt.Sprintf("%d of %s", e.Threshold, names(people(e.KeyIDs, labels)))
}

// rootChanges says what a root changes against the one before; old is nil for the first.
func rootChanges(old, root *rootMeta) []string {
	labels := owners(root.Signed.UnrecognizedFields)
	var out []string
	if old != nil {
		labels = mergeLabels(owners(old.Signed.UnrecognizedFields), labels)
	}
	for _, role := range topRoles {
		now := bundle.ByRoot(root, role)
		if old == nil {
			out = append(out, role+" is signed by "+entitledWords(now, labels))
			continue
		}
		out = append(out, entitledChanges(role, bundle.ByRoot(old, role), now, labels)...)
	}
	if len(out) == 0 {
		out = append(out, "no key and no threshold changes: only the expiry is renewed")
	}
	return out
}

// entitledChanges says which keys enter and leave, and how the threshold moves.
func entitledChanges(role string, old, now bundle.Entitled, labels map[string]string) []string {
	var out []string
	for _, p := range people(without(now.KeyIDs, old.KeyIDs), labels) {
		out = append(out, fmt.Sprintf("%s: key %s enters", role, p))
	}
	for _, p := range people(without(old.KeyIDs, now.KeyIDs), labels) {
		out = append(out, fmt.Sprintf("%s: key %s leaves", role, p))
	}
	if old.Threshold != now.Threshold {
		out = append(out, fmt.Sprintf("%s: threshold goes from %d to %d", role, old.Threshold, now.Threshold))
	}
	if len(out) > 0 {
		out = append(out, fmt.Sprintf("%s is then signed by %s", role, entitledWords(now, labels)))
	}
	return out
}

const (
	noProducts       = "no products yet"
	nothingButExpiry = "no product changes: only the expiry is renewed"
)

// targetsChanges says which products enter, leave and change hands; old is nil for the first.
func targetsChanges(old, targets *targetsMeta) []string {
	labels := owners(targets.Signed.UnrecognizedFields)
	var before []string
	if old != nil {
		labels = mergeLabels(owners(old.Signed.UnrecognizedFields), labels)
		before = delegated(&old.Signed)
	}
	now := delegated(&targets.Signed)
	var out []string
	for _, product := range now {
		e := bundle.ByTargets(targets, product)
		if !slices.Contains(before, product) {
			out = append(out, fmt.Sprintf("product %s enters: its releases are signed by %s", product, entitledWords(e, labels)))
			continue
		}
		out = append(out, entitledChanges("product "+product, bundle.ByTargets(old, product), e, labels)...)
	}
	for _, product := range without(before, now) {
		out = append(out, fmt.Sprintf("product %s leaves", product))
	}
	if len(out) == 0 && old == nil {
		return []string{noProducts}
	}
	if len(out) == 0 {
		return []string{nothingButExpiry}
	}
	return out
}

// manifestWords tell of a release in indented lines.
func manifestWords(m *firmware.Manifest) []string {
	out := []string{
		fmt.Sprintf("  image: %s, SHA-256 %s", bytesWords(m.Image.Length), m.Image.SHA256),
		fmt.Sprintf("  artifact: %s, SHA-256 %s", bytesWords(m.Artifact.Length), m.Artifact.SHA256),
	}
	for _, p := range m.Patches {
		out = append(out, fmt.Sprintf("  patch from image %s: %s", p.From.SHA256, bytesWords(p.Length)))
	}
	if m.Chunks != nil {
		out = append(out, fmt.Sprintf("  chunks, for devices with other images: %s", bytesWords(m.Chunks.Length)))
	}
	for _, a := range m.Attestations {
		out = append(out, fmt.Sprintf("  attestation %s: %s, SHA-256 %s", a.Type, bytesWords(a.Length), a.SHA256))
	}
	if m.MinAgent != "" {
		out = append(out, "  wants an agent of version "+m.MinAgent+" or later")
	}
	for _, line := range strings.Split(strings.TrimRight(m.Notes, "\n"), "\n") {
		if m.Notes != "" {
			out = append(out, "  notes: "+line)
		}
	}
	return out
}

// WriteText writes the view for people.
func (v *View) WriteText(w io.Writer, now time.Time) error {
	var t text
	t.say("%s follows %s", v.Bundle, v.Base)
	for _, f := range v.Files {
		t.say("")
		f.text(&t, now)
	}
	t.say("")
	if v.Met() {
		t.say("all signatures are there")
	} else {
		t.say("signatures are still missing")
	}
	return t.writeTo(w)
}

// WriteText writes one file of a view for people.
func (f FileView) WriteText(w io.Writer, now time.Time) error {
	var t text
	f.text(&t, now)
	return t.writeTo(w)
}

func (f FileView) text(t *text, now time.Time) {
	t.say("%s", f.Name)
	t.say("  %s", lifetimeWords(f.Expires, now))
	t.say("  what is signed has SHA-256 %s", f.Digest)
	for _, line := range f.Changes {
		t.say("  %s", line)
	}
	for _, r := range f.Rules {
		r.text(t)
	}
}

func (r Rule) text(t *text) {
	t.say("  signatures, as %s says: %d of %d", r.By, len(r.Signed), r.Threshold)
	if len(r.Signed) > 0 {
		t.say("    signed by %s", names(r.Signed))
	}
	if len(r.Wrong) > 0 {
		t.say("    the signature of %s does not verify: the file was changed after it", names(r.Wrong))
	}
	if missing := r.Threshold - len(r.Signed); missing > 0 && len(r.Open)+len(r.Wrong) > 0 {
		t.say("    %d more needed, of %s", missing, names(append(slices.Clone(r.Open), r.Wrong...)))
	}
}

// text collects lines for a terminal. Files that nobody vouches for yet are shown with it, so no line can bring
// control characters along, or pose as two.
type text struct {
	lines []string
}

func (t *text) say(format string, args ...any) {
	t.lines = append(t.lines, printable(fmt.Sprintf(format, args...)))
}

func (t *text) writeTo(w io.Writer) error {
	for _, line := range t.lines {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what a terminal would act on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

func lifetimeWords(expires, now time.Time) string {
	left := expires.Sub(now)
	switch {
	case left <= 0:
		return "EXPIRED on " + day(expires)
	case left < 48*time.Hour:
		return fmt.Sprintf("valid until %s (%.0f hours)", day(expires), left.Hours())
	}
	return fmt.Sprintf("valid until %s (%.0f days)", day(expires), left.Hours()/24)
}

// bytesWords is a length for people: "64.0 MiB (67108864 bytes)".
func bytesWords(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB (%d bytes)", size, units[unit], n)
}

// without are the words of a that are not in b, sorted.
func without(a, b []string) []string {
	out := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	slices.Sort(out)
	return out
}

func mergeLabels(old, now map[string]string) map[string]string {
	all := maps.Clone(old)
	maps.Copy(all, now)
	return all
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
