package signer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// refused checks that err is a refusal whose message says why.
func refused(t *testing.T, err error, why string) {
	t.Helper()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), why) {
		t.Errorf("got error %v, want a refusal that says %q", err, why)
	}
}

// clean checks that a refused command left nothing in the world's folder.
func (w *world) clean() {
	w.t.Helper()
	for _, e := range must(os.ReadDir(w.dir))(w.t) {
		if e.Name() == "out" || strings.HasPrefix(e.Name(), ".tmp-") {
			w.t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestNewRootRefusals(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	for name, c := range map[string]struct {
		role string
		keys Keys
		why  string
	}{
		"threshold above keys": {metadata.ROOT, Keys{w.public("alice", "bob"), 3}, "threshold 3 for root can never be met: it has 2 key(s)"},
		"threshold zero":       {metadata.TARGETS, Keys{w.public("alice"), 0}, "threshold 0 for targets: at least 1"},
		"threshold negative":   {metadata.TIMESTAMP, Keys{w.public("online"), -1}, "at least 1"},
		"no key":               {metadata.SNAPSHOT, Keys{nil, 1}, "no key for snapshot"},
		"one key twice":        {metadata.ROOT, Keys{w.public("alice", "bob", "alice"), 2}, "given twice for root; a key counts once"},
	} {
		t.Run(name, func(t *testing.T) {
			roles := w.roles(2)
			roles[c.role] = c.keys
			_, err := NewRoot(t.Context(), NewRootOptions{Out: w.path("out"), Roles: roles, Lifetime: year, Now: start})
			refused(t, err, c.why)
			w.clean()
		})
	}
}

// A copy of a public key under another name is the same key: two labels must not make two people of it.
func TestOneKeyUnderTwoNamesCountsOnce(t *testing.T) {
	w := newWorld(t, "alice")
	check(t, os.WriteFile(w.path("bob.pub"), must(os.ReadFile(w.path("alice.pub")))(t), 0o644))
	roles := map[string]Keys{
		metadata.ROOT:    {w.public("alice", "bob"), 2},
		metadata.TARGETS: {w.public("alice"), 1}, metadata.SNAPSHOT: {w.public("online"), 1}, metadata.TIMESTAMP: {w.public("online"), 1},
	}
	_, err := NewRoot(t.Context(), NewRootOptions{Out: w.path("out"), Roles: roles, Lifetime: year, Now: start})
	refused(t, err, "given twice for root")
}

// Labels must not change key ids, or signatures would count for nobody.
func TestLabelsStandOutsideTheKeys(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	for id, key := range base.Root().Signed.Keys {
		check(t, keyfile.CheckTUFKey(id, key))
	}
	labels := owners(base.Root().Signed.UnrecognizedFields)
	if got := labels[w.keys["carol"].ID()]; got != "carol" {
		t.Errorf("carol's key has the label %q", got)
	}
	if !strings.HasSuffix(base.Root().Signed.Expires.Format(time.RFC3339Nano), "00Z") {
		t.Errorf("expiry %v is not a whole second of UTC", base.Root().Signed.Expires)
	}
}

func TestLabelsThatAreNoLabelsAreDropped(t *testing.T) {
	got := owners(map[string]any{ownersMember: map[string]any{"a": "eve\x1b[2J", "b": 7.0, "c": "bob", "d": strings.Repeat("x", 65)}})
	if len(got) != 1 || got["c"] != "bob" {
		t.Errorf("labels %v, want only bob", got)
	}
	for _, name := range []string{"a b.pub", "\x1b.pub", ".pub", "-x.pub"} {
		if got := ownerOf(name); got != "" {
			t.Errorf("file %q gives the label %q", name, got)
		}
	}
}

func TestReleaseRefusals(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 3, 7)
	for name, c := range map[string]struct {
		change func(*ReleaseOptions)
		why    string
	}{
		"released already":        {func(o *ReleaseOptions) { o.Version = "0.3.0" }, "released already, with counter 3"},
		"counter is the highest":  {func(o *ReleaseOptions) { o.Counter = 7 }, "counter 7 is not above 7"},
		"counter between":         {func(o *ReleaseOptions) { o.Counter = 5 }, "counter 5 is not above 7"},
		"counter negative":        {func(o *ReleaseOptions) { o.Counter = -1 }, "counter -1 is not above 7"},
		"counter too large":       {func(o *ReleaseOptions) { o.Counter = firmware.MaxCounter + 1 }, "counter"},
		"no hardware":             {func(o *ReleaseOptions) { o.Hardware = nil }, "0 hardware strings"},
		"hardware empty":          {func(o *ReleaseOptions) { o.Hardware = []string{""} }, `hardware ""`},
		"hardware twice":          {func(o *ReleaseOptions) { o.Hardware = []string{"a", "a"} }, "listed twice"},
		"unknown product":         {func(o *ReleaseOptions) { o.Product = "tv" }, `product "tv" is not known here; there are cam`},
		"version leads elsewhere": {func(o *ReleaseOptions) { o.Version = "../../x" }, "version"},
		"notes with an escape":    {func(o *ReleaseOptions) { o.Notes = "\x1b[2J" }, "control character"},
		"notes too long":          {func(o *ReleaseOptions) { o.Notes = strings.Repeat("x", 1<<20) }, "notes"},
		"agent version":           {func(o *ReleaseOptions) { o.MinAgent = "new" }, "MAJOR.MINOR.PATCH"},
		"clock behind":            {func(o *ReleaseOptions) { o.Now = start.Add(-time.Hour) }, "set the clock"},
		"clock at 1970":           {func(o *ReleaseOptions) { o.Now = time.Unix(0, 0) }, "before this program was written: set the clock"},
		"clock years ahead":       {func(o *ReleaseOptions) { o.Now = start.Add(2 * year) }, "signed 730 days before"},
		"key of another":          {func(o *ReleaseOptions) { o.Keys = append(o.Keys, w.keys["alice"]) }, "does not sign for cam; its keys are dora"},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.releaseOptions(base, start.Add(time.Hour))
			c.change(&o)
			_, err := NewRelease(t.Context(), o)
			refused(t, err, c.why)
			w.clean()
		})
	}
}

// Two versions that differ by case would make a file that strict readers refuse.
func TestVersionsThatDifferByCaseAreOne(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	w.publish(start, 1)
	role := must(cloneMeta(w.base().Role("cam")))(t)
	entry := role.Signed.Targets["cam/0.1.0.json"]
	custom := bytes.ReplaceAll(*entry.Custom, []byte("0.1.0"), []byte("0.1.0-RC"))
	*entry.Custom = custom
	role.Signed.Targets = map[string]*metadata.TargetFiles{"cam/0.1.0-RC.json": entry}
	_, err := ReleaseOptions{Product: "cam", Version: "0.1.0-rc"}.highest(must(bundle.Releases("cam", role))(t))
	refused(t, err, "cam 0.1.0-RC is released already")
}

func TestImageThatChangesWhileItIsRead(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	o := w.releaseOptions(w.publish(start), start)
	o.Image = w.image("big", 3<<20)
	o.Progress = func(string, int64, int64) {
		f := must(os.OpenFile(o.Image, os.O_WRONLY|os.O_APPEND, 0))(t)
		must(f.WriteString("late"))(t)
		check(t, f.Close())
	}
	_, err := NewRelease(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("got error %v, want one that says that the image changed", err)
	}
	w.clean()
}

func TestInterruptedReleaseLeavesNothing(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	o := w.releaseOptions(w.publish(start), start)
	ctx, cancel := context.WithCancel(t.Context())
	o.Image = w.image("big", 3<<20)
	o.Progress = func(string, int64, int64) { cancel() }
	if _, err := NewRelease(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	w.clean()
}

// The oldest releases, by counter and not by name, make room.
func TestReleasesAreLimited(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	var counters []int64
	for i := range int64(MaxTargets) {
		counters = append(counters, 2*i+1)
	}
	base := w.publish(start, counters...)
	o := w.releaseOptions(base, start)
	o.Keys = []keyfile.Signer{w.keys["dora"]}
	draft := must(NewRelease(t.Context(), o))(t)
	role := must(parse[metadata.TargetsType]("role", must(os.ReadFile(w.path("out/metadata/2.cam.json")))(t)))(t)
	entries := must(bundle.Releases("cam", role))(t)
	if len(entries) != DefaultKeep || entries[0].Counter != 2*(MaxTargets-DefaultKeep+1)+1 {
		t.Errorf("%d releases from counter %d on", len(entries), entries[0].Counter)
	}
	if last := entries[len(entries)-1]; last.Counter != 2*MaxTargets || last.Version != "1.0.0" {
		t.Errorf("the new release is %s with counter %d", last.Version, last.Counter)
	}
	if len(draft.Warnings) != 1 || !strings.Contains(draft.Warnings[0], "cam lists 201 releases; the oldest 101 leave it, 0.1.0 to 0.201.0") {
		t.Errorf("warnings %q", draft.Warnings)
	}
	check(t, CheckBundle(w.path("out"), "", "", start))
}

func TestExpiredBaseIsWarnedAbout(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	base.TrustClock()
	draft := must(NewRelease(t.Context(), w.releaseOptions(base, start.Add(2*year))))(t)
	for _, role := range []string{"root", "targets", "cam"} {
		if !slices.ContainsFunc(draft.Warnings, func(s string) bool { return strings.HasPrefix(s, "the published "+role+" expired on 2027-09-01") }) {
			t.Errorf("no warning for %s in %q", role, draft.Warnings)
		}
	}
	// Whoever signs it is told that it cannot be published so.
	_, err := PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["dora"], Now: start.Add(2 * year), TrustClock: true})
	refused(t, err, "root expired")
}

func TestSigningRefusals(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	must(NewRelease(t.Context(), w.releaseOptions(base, start)))(t)
	_, err := PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["dora"], Now: start.Add(-24 * time.Hour)})
	refused(t, err, "set the clock")
	_, err = PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["carol"], Now: start})
	refused(t, err, "key carol")
	_, err = PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["dora"], Now: start.Add(year)})
	refused(t, err, "expired")
}

// TestSignersClock holds the clock of whoever signs against those of the repository and of whoever drafted.
func TestSignersClock(t *testing.T) {
	for name, c := range map[string]struct {
		drafted, now time.Duration // since the repository was published
		lifetime     time.Duration
		trust        bool
		why          string // "" is signed
	}{
		"right":                      {time.Hour, 2 * time.Hour, year, false, ""},
		"a little behind":            {time.Hour, time.Hour - 9*time.Minute, year, false, ""},
		"behind the repository":      {0, -time.Hour, year, false, "if it is right, the other one was wrong: --trust-clock"},
		"behind, and trusted":        {0, -time.Hour, year, true, ""},
		"behind the draft":           {24 * time.Hour, time.Hour, year, false, "2.cam.json was drafted at 2026-09-02T12:00:00Z, and this machine's clock says 2026-09-01T13:00:00Z"},
		"behind the draft, trusted":  {24 * time.Hour, time.Hour, year, true, ""},
		"far ahead":                  {time.Hour, 401 * 24 * time.Hour, 2 * year, false, "if nothing was signed for so long: --trust-clock"},
		"far ahead, expired anyway":  {time.Hour, 401 * 24 * time.Hour, 2 * year, true, "expired"},
		"a draft for eleven years":   {time.Hour, time.Hour, 11 * year, false, "valid until 2037-08-29T13:00:00Z, longer than anything should be"},
		"that draft, trusted":        {time.Hour, time.Hour, 11 * year, true, "longer than anything should be"},
		"before the program, always": {0, -20 * year, year, true, "before this program was written"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "alice", "bob", "carol", "dora")
			o := w.releaseOptions(w.publish(start, 1), start.Add(c.drafted))
			o.Lifetime = c.lifetime
			must(NewRelease(t.Context(), o))(t)
			_, err := PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["dora"], Now: start.Add(c.now), TrustClock: c.trust})
			if c.why != "" {
				refused(t, err, c.why)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A signature is made for the bytes that were shown and no others: what lies in the folder by then may have been
// swapped, or signed by somebody else in the meantime.
func TestWhatWasShownIsSigned(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	must(NewRelease(t.Context(), w.releaseOptions(w.publish(start), start)))(t)
	s := must(PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["dora"], Now: start}))(t)
	name := w.path("out/metadata/1.cam.json")
	role := must(parse[metadata.TargetsType](name, must(os.ReadFile(name))(t)))(t)
	role.Signed.Targets = map[string]*metadata.TargetFiles{}
	swapped := must(bundle.Encode(role))(t)
	check(t, os.WriteFile(name, swapped, 0o644))
	refused(t, s.Sign(), "was changed after it was shown to you and is not signed")
	if got := must(os.ReadFile(name))(t); !bytes.Equal(got, swapped) {
		t.Errorf("the swapped file was signed")
	}
}

// An expired root and an expired targets file can only be renewed together.
func TestExpiredRootAndTargetsAreRenewedTogether(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base, late := w.publish(start, 1), start.Add(2*year)
	base.TrustClock()
	must(RotateRoot(t.Context(), RotateRootOptions{Out: w.path("out"), Base: base, Lifetime: year, Now: late}))(t)
	for _, name := range []string{"alice", "bob"} {
		w.sign("out", name, late)
	}
	check(t, CheckBundle(w.path("out"), "", "", late))
}

// A good signature from the copy takes the place of a bad one of the same key.
func TestMergeReplacesABadSignature(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	must(NewRelease(t.Context(), w.releaseOptions(w.publish(start), start)))(t)
	w.sign("out", "dora", start)
	check(t, os.CopyFS(w.path("copy"), os.DirFS(w.path("out"))))
	name := w.path("out/metadata/1.cam.json")
	role := must(parse[metadata.TargetsType](name, must(os.ReadFile(name))(t)))(t)
	role.Signatures[0].Signature[5] ^= 1
	check(t, os.WriteFile(name, must(bundle.Encode(role))(t), 0o644))
	refused(t, CheckBundle(w.path("out"), "", "", start), "does not verify")
	merged := must(Merge(w.path("out"), w.path("copy")))(t)
	if merged.Added != 1 {
		t.Errorf("%d signatures came over, want 1", merged.Added)
	}
	check(t, CheckBundle(w.path("out"), "", "", start))
	// and a bad one is not taken from a copy
	check(t, os.WriteFile(w.path("copy/metadata/1.cam.json"), must(bundle.Encode(role))(t), 0o644))
	if merged = must(Merge(w.path("out"), w.path("copy")))(t); merged.Added != 0 {
		t.Errorf("a bad signature came over")
	}
}

// A draft that is made again in place has lost its signatures, and says so.
func TestChangedDraftMustBeSignedAgain(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	must(NewRoot(t.Context(), NewRootOptions{Out: w.path("out"), Roles: w.roles(1), Lifetime: year, Now: start}))(t)
	w.sign("out", "alice", start)
	o := ProductOptions{Bundle: w.path("out"), Product: "tv", Lifetime: year, Now: start}
	draft := must(AddProduct(t.Context(), o, Keys{w.public("dora"), 1}))(t)
	if len(draft.Warnings) != 1 || !strings.Contains(draft.Warnings[0], "must be signed again") {
		t.Errorf("warnings %q", draft.Warnings)
	}
	if err := CheckBundle(w.path("out"), "", "", start); !errors.Is(err, ErrUnsigned) || !strings.Contains(err.Error(), "1.targets.json: 0 of 1") {
		t.Errorf("got error %v, want missing signatures of targets", err)
	}
	_, err := AddProduct(t.Context(), o, Keys{w.public("dora"), 1})
	refused(t, err, "product tv exists already")
	o.Product = "root"
	_, err = AddProduct(t.Context(), o, Keys{w.public("dora"), 1})
	refused(t, err, "belongs to a TUF role")
}

func TestProductChange(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	o := ProductOptions{Out: w.path("out"), Base: base, Product: "cam", Lifetime: year, Now: start}
	for name, c := range map[string]struct {
		change RoleChange
		why    string
	}{
		"last key leaves": {RoleChange{Remove: []string{"dora"}}, "no key for cam"},
		"threshold":       {RoleChange{Threshold: 2}, "can never be met"},
		"key not there":   {RoleChange{Remove: []string{"bob"}}, `key "bob" does not hold this role; its keys are dora`},
		"key there":       {RoleChange{Add: w.public("dora")}, "signs for cam already"},
		"too short an id": {RoleChange{Remove: []string{w.keys["dora"].ID()[:7]}}, "does not hold this role"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ChangeProduct(t.Context(), o, c.change)
			refused(t, err, c.why)
			w.clean()
		})
	}
	// Another key beside dora's: what is published keeps verifying, so nothing else is drafted.
	draft := must(ChangeProduct(t.Context(), o, RoleChange{Add: w.public("bob")}))(t)
	if len(draft.Files) != 1 || draft.Files[0].Name != "metadata/2.targets.json" {
		t.Errorf("drafted %v", draft.Files)
	}
	// dora, named by the beginning of her key's id, leaves: her signature counts no more.
	o.Out = w.path("out2")
	draft = must(ChangeProduct(t.Context(), o, RoleChange{Add: w.public("bob"), Remove: []string{w.keys["dora"].ID()[:8]}}))(t)
	if len(draft.Files) != 2 || draft.Files[1].Name != "metadata/2.cam.json" || draft.Files[1].Rules[0].Open[0].Owner != "bob" {
		t.Errorf("drafted %v", draft.Files)
	}
}

// Nothing of a private key reaches any output: not the words, not the bundle, not an error.
func TestNoSecretInAnyOutput(t *testing.T) {
	w := newWorld(t, "alice", "bob", "carol", "dora")
	base := w.publish(start, 1)
	o := w.releaseOptions(base, start)
	o.Keys = []keyfile.Signer{w.keys["dora"]}
	must(NewRelease(t.Context(), o))(t)
	check(t, keyfile.Save(w.path("dora.key"), w.secret["dora"], nil))
	var shown bytes.Buffer
	for _, path := range []string{"dora.key", "dora.pub", "out", "repo", "first/metadata/1.root.json"} {
		in := must(Inspect(w.path(path), start))(t)
		check(t, in.WriteText(&shown))
	}
	_, err := PrepareSigning(SignOptions{Bundle: w.path("out"), Key: w.keys["alice"], Now: start})
	shown.WriteString(err.Error())
	check(t, os.Remove(w.path("dora.key")))
	var all [][]byte
	all = append(all, shown.Bytes())
	check(t, filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, must(os.ReadFile(path))(t))
		}
		return err
	}))
	for name, key := range w.secret {
		seed := key.(ed25519.PrivateKey).Seed()
		for _, form := range []string{string(seed), hex.EncodeToString(seed), base64.StdEncoding.EncodeToString(seed)[:40]} {
			for _, data := range all {
				if bytes.Contains(data, []byte(form)) {
					t.Fatalf("the private key of %s stands in an output", name)
				}
			}
		}
	}
}
