package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/agent"
	"github.com/fairlead/fairlead/agent/agenttest"
	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/client"
	"github.com/fairlead/fairlead/tufrepo/client/tuftest"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/fairlead/fairlead/tufrepo/tlog/tlogtest"
	"github.com/fairlead/fairlead/tufrepo/tlog/witness"
)

// Kinds of keys that are stolen, beside the roles of the image repository.
const (
	online       = "director"
	directorRoot = "director root"
	logKey       = "log"
	witnesses    = "witness"
)

// town is a service whose keys are held as they should be: two of three for the root, two of two for targets, product and the
// director's root; a log, and two witnesses of which the policy wants both. A device in it has 1.1.0; 1.2.0 is newer, 1.0.5
// older; nobody who may has signed 6.6.6.
type town struct {
	t        testing.TB
	site     *agenttest.Site
	r        *tuftest.Repo
	log      *tlogtest.World
	keys     map[string][]tuftest.Key // of the image repository, by role, before the theft
	evil     *metadata.TargetFiles
	manifest map[string][]byte // by version
	saved    map[string]map[int64][]byte
	first    []byte // the root that devices are delivered with
}

const (
	evilVersion = "6.6.6"
	evilPath    = product + "/" + evilVersion + ".json"
)

var (
	genuineArtifact = agenttest.Encode(image(2))
	evilArtifact    = agenttest.Encode(image(66))
)

func newTown(t testing.TB) *town {
	w := &town{t: t, site: newSite(t), log: tlogtest.New(t, "fw.example.com/releases", 2), manifest: map[string][]byte{}}
	w.r = w.site.Repo
	later := time.Now().AddDate(1, 0, 0).UTC().Truncate(time.Second)
	w.r.Root.Signed.Expires, w.r.Snapshot.Signed.Expires = later, later
	for _, role := range []string{metadata.TARGETS, product} {
		w.r.Targets[role].Signed.Expires = later
	}
	for range 2 {
		w.r.AddKey(metadata.ROOT, tuftest.NewKey("ed25519"))
	}
	w.r.AddKey(metadata.TARGETS, tuftest.NewKey("ed25519"))
	w.r.Root.Signed.Roles[metadata.ROOT].Threshold, w.r.Root.Signed.Roles[metadata.TARGETS].Threshold = 2, 2
	w.r.Publish(metadata.ROOT)
	_, w.first = w.r.Newest(metadata.ROOT)
	w.delegate(tuftest.NewKey("ed25519"))
	w.site.Director.AddKey(metadata.ROOT, tuftest.NewKey("ed25519"))
	w.site.Director.Root.Signed.Roles[metadata.ROOT].Threshold = 2
	w.site.Director.Publish(metadata.ROOT)
	policy := w.log.Policy(2)
	w.r.AddTarget(metadata.TARGETS, tlog.PolicyPath, []byte(policy))
	log := w.log.Open(t, t.TempDir())
	for version, counter := range map[string]int64{"1.0.5": 1, "1.1.0": 2, "1.2.0": 3} {
		w.site.Release(version, counter, genuineArtifact, func(m *firmware.Manifest) { w.keep(version, m) })
		w.serveProof(policy, version, w.log.Prove(t, log, policy, w.entry(version)))
	}
	w.site.Release(evilVersion, 9, evilArtifact, func(m *firmware.Manifest) { w.keep(evilVersion, m) })
	w.evil = w.r.Targets[product].Signed.Targets[evilPath]
	delete(w.r.Targets[product].Signed.Targets, evilPath) // its bytes lie there, and nobody vouches for them
	w.site.Publish()
	w.keys = maps.Clone(w.r.Keys)
	w.save()
	return w
}

// delegate gives the product a second key, and a threshold of two.
func (w *town) delegate(k tuftest.Key) {
	d := w.r.Targets[metadata.TARGETS].Signed.Delegations
	d.Keys[k.ID] = k.TUF
	d.Roles[0].KeyIDs, d.Roles[0].Threshold = append(d.Roles[0].KeyIDs, k.ID), 2
	w.r.Keys[product] = append(w.r.Keys[product], k)
}

func (w *town) keep(version string, m *firmware.Manifest) {
	b, err := m.Encode()
	must(w.t, err)
	w.manifest[version] = b
}

func (w *town) entry(version string) []byte {
	leaf, err := tlog.LeafOfManifest(w.manifest[version])
	must(w.t, err)
	entry, err := leaf.Encode()
	must(w.t, err)
	return entry
}

func (w *town) serveProof(policy, version string, proof []byte) {
	name := fmt.Sprintf("targets/%s/%v.%s.json%s", product, firmware.Sum(w.manifest[version]), version, tlogtest.Parse(w.t, policy).ProofSuffix())
	w.r.Serve(name, proof)
}

// save and restore keep what is published before a deed, for the next one.
func (w *town) save() {
	w.saved = map[string]map[int64][]byte{}
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS, product} {
		newest, _ := w.r.Newest(role)
		w.saved[role] = map[int64][]byte{}
		for v := int64(1); v <= newest; v++ {
			w.saved[role][v] = w.r.Version(role, v)
		}
	}
}

func (w *town) restore() {
	for role, versions := range w.saved {
		w.r.Withdraw(role)
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			w.r.Put(role, v, versions[v])
		}
	}
	parse(w.t, w.newest(metadata.ROOT), &w.r.Root)
	parse(w.t, w.newest(metadata.TIMESTAMP), &w.r.Timestamp)
	parse(w.t, w.newest(metadata.SNAPSHOT), &w.r.Snapshot)
	for role := range w.r.Targets {
		md := w.r.Targets[role]
		parse(w.t, w.newest(role), &md)
		w.r.Targets[role] = md
	}
}

func (w *town) newest(role string) []byte { return newest(w.r, role) }

func parse[T metadata.Roles](t testing.TB, b []byte, into **metadata.Metadata[T]) {
	t.Helper()
	md, err := new(metadata.Metadata[T]).FromBytes(b)
	must(t, err)
	*into = md
}

// thief holds so many keys of each kind, and signs the rest with keys of their own.
type thief struct {
	*town
	has map[string]int
}

// rob lets the thief sign. Whoever has enough of the root's keys gives the other roles new ones, and signs what they said.
func (w *town) rob(has map[string]int) *thief {
	h := &thief{w, has}
	w.restore()
	for role, keys := range w.keys {
		w.r.Keys[role] = []tuftest.Key{tuftest.NewKey("ed25519")}
		if n := has[role]; n > 0 {
			w.r.Keys[role] = slices.Clone(keys[:n])
		}
	}
	if has[metadata.ROOT] >= 2 {
		for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
			w.r.Rotate(role)
			w.r.Root.Signed.Roles[role].Threshold = 1
		}
		w.r.Publish(metadata.ROOT)
	}
	if has[metadata.ROOT] >= 2 {
		w.r.Publish(metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP)
	}
	return h
}

// rules says whether the thief can sign for a role, by its keys or by those above.
func (h *thief) rules(role string) bool {
	return h.has[metadata.ROOT] >= 2 || h.has[role] >= 2
}

// forgeRelease signs 6.6.6 and makes a proof that it stands in a log. Whoever has enough of the targets keys gives the product a
// new one, and names a log of their own.
func (h *thief) forgeRelease() {
	h.r.Targets[product].Signed.Targets[evilPath] = h.evil
	policy := h.log.Policy(2)
	fake := tlogtest.New(h.t, h.log.Origin, 0)
	if h.has[logKey] > 0 {
		fake = tlogtest.WithKey(h.t, h.log.Skey, 0)
	}
	for _, one := range h.log.Witnesses[:h.has[witnesses]] {
		c := witness.Config{Dir: h.t.(*testing.T).TempDir(), Key: one.Config.Key, Logs: tlogtest.Parse(h.t, "log "+fake.Vkey+"\nquorum none\n").Logs, Log: slog.New(slog.DiscardHandler)}
		stolen := &tlogtest.Witness{Name: one.Name, Vkey: one.Vkey, Config: c}
		stolen.Run(h.t)
		fake.Witnesses = append(fake.Witnesses, stolen)
	}
	own := fake.Policy(h.has[witnesses])
	proof := fake.Prove(h.t, fake.Open(h.t, h.t.(*testing.T).TempDir()), own, h.entry(evilVersion))
	if h.rules(metadata.TARGETS) {
		h.r.AddTarget(metadata.TARGETS, tlog.PolicyPath, []byte(own))
		policy = own
		k := tuftest.NewKey("ed25519")
		d := h.r.Targets[metadata.TARGETS].Signed.Delegations
		d.Keys = map[string]*metadata.Key{k.ID: k.TUF}
		d.Roles[0].KeyIDs, d.Roles[0].Threshold, h.r.Keys[product] = []string{k.ID}, 1, []tuftest.Key{k}
		h.r.Publish(metadata.TARGETS)
	}
	h.serveProof(policy, evilVersion, proof)
	h.r.Publish(product, metadata.SNAPSHOT, metadata.TIMESTAMP)
}

// victim is a device that has seen what was published before the theft.
func (w *town) victim() *unit {
	u := newUnit(w.t, w.site)
	must(w.t, writeFile(u.path("root.json"), w.first))
	u.cfg.Factory = agent.Factory{Version: "1.1.0", Counter: 2}
	u.enroll()
	c, err := client.Open(client.Config{Root: w.first, Source: memory(w.saved, w.r), Dir: u.path("state/image")})
	must(w.t, err)
	must(w.t, c.Refresh(context.Background()))
	_, err = c.Target(context.Background(), product+"/1.1.0.json")
	must(w.t, errors.Join(err, c.Close()))
	return u
}

// directs sends the device a direction by the thief: does the device take it so far that it wants to boot it?
func (h *thief) directs(version string) bool {
	u := h.victim()
	d := h.site.Director
	good, root := maps.Clone(d.Keys), *d.Root
	defer func() { d.Keys, *d.Root = good, root }()
	if h.has[online] == 0 {
		d.Keys = map[string][]tuftest.Key{metadata.TARGETS: {tuftest.NewKey("ed25519")}, metadata.ROOT: good[metadata.ROOT]}
	}
	if n := h.has[directorRoot]; n > 0 {
		d.Keys[metadata.ROOT] = good[metadata.ROOT][:n]
		b, err := json.Marshal(d.Root)
		must(h.t, err)
		parse(h.t, b, &d.Root)
		d.Rotate(metadata.TARGETS)
		d.Publish(metadata.ROOT)
		defer func(v int64) {
			all := map[int64][]byte{}
			for i := int64(1); i < v; i++ {
				all[i] = d.Version(metadata.ROOT, i)
			}
			d.Withdraw(metadata.ROOT)
			for i := int64(1); i < v; i++ {
				d.Put(metadata.ROOT, i, all[i])
			}
		}(d.Root.Signed.Version)
	}
	update := h.site.Direct(u.id, version, nil)
	return u.live(func() bool {
		if s, err := u.agent().Status(); err == nil && s.Trouble != nil {
			return true
		}
		return slices.ContainsFunc(u.site.Events(u.id), func(e event) bool { return e.Update == update && e.State.Final() })
	})
}

// deeds are what thieves try, each on a device of its own. They say whether it came to that.
var deeds = []struct {
	name string
	try  func(h *thief) bool
}{
	{"other firmware, directed", func(h *thief) bool { h.forgeRelease(); return h.directs(evilVersion) }},
	{"other firmware, from a stick", func(h *thief) bool {
		h.forgeRelease()
		_, err := h.victim().agent().Install(context.Background(), h.site.Server.URL, evilVersion)
		return errors.Is(err, agent.ErrReboot)
	}},
	{"an older release", func(h *thief) bool { return h.directs("1.0.5") }},
	{"a newer release that the thief chooses", func(h *thief) bool { return h.directs("1.2.0") }},
	{"another tenant's device", otherTenant},
	{"freeze past the expiry", func(h *thief) bool {
		h.r.Timestamp.Signed.Expires = time.Now().AddDate(0, 6, 0).UTC().Truncate(time.Second)
		h.r.Publish(metadata.TIMESTAMP)
		return h.sees(h.victim().path("state/image"), time.Now().AddDate(0, 0, 3)) == nil
	}},
	{"mix, for a device that has seen newer", func(h *thief) bool { h.mix(); return h.sees(h.victim().path("state/image"), time.Now()) == nil }},
	{"mix, for a device that has seen nothing", func(h *thief) bool { h.mix(); return h.sees(h.t.(*testing.T).TempDir(), time.Now()) == nil }},
	{"make a device forget versions", func(h *thief) bool {
		h.r.Timestamp.Signed.Version = 0
		h.r.Snapshot.Signed.Version = 0
		h.r.Publish(metadata.SNAPSHOT, metadata.TIMESTAMP)
		return h.sees(h.victim().path("state/image"), time.Now()) == nil
	}},
}

// mix says in the snapshot that the product's file is an older one, which is genuine.
func (h *thief) mix() {
	h.r.Publish(product) // to learn the form
	newest := h.r.Targets[product].Signed.Version
	meta := *h.r.Snapshot.Signed.Meta[product+".json"]
	meta.Version, meta.Length, meta.Hashes = newest-2, 0, nil
	h.restoreRole(product)
	h.r.Snapshot.Signed.Meta[product+".json"] = &meta
	h.r.Publish(metadata.SNAPSHOT, metadata.TIMESTAMP)
}

func (w *town) restoreRole(role string) {
	w.r.Withdraw(role)
	for _, v := range slices.Sorted(maps.Keys(w.saved[role])) {
		w.r.Put(role, v, w.saved[role][v])
	}
}

// sees is a refresh with a store, at a time.
func (h *thief) sees(dir string, now time.Time) error {
	c, err := client.Open(client.Config{Root: h.first, Source: h.r, Dir: dir, Clock: func() time.Time { return now }})
	must(h.t, err)
	defer c.Close()
	if err := c.Refresh(context.Background()); err != nil {
		return err
	}
	_, err = c.Targets(context.Background(), product)
	return err
}

// otherTenant directs a device whose tenant has a root of its own.
func otherTenant(h *thief) bool {
	other := tuftest.New(time.Now().Add(48 * time.Hour))
	c, err := client.OpenDirector(client.DirectorConfig{Root: other.Version("root", 1), Tenant: "globex", Device: "d-1", Source: other})
	must(h.t, err)
	defer c.Close()
	key := tuftest.NewKey("ed25519")
	if h.has[online] > 0 {
		key = h.site.Director.Keys[metadata.TARGETS][0]
	}
	now := time.Now().UTC().Truncate(time.Second)
	raw, err := direction.Sign(direction.Direction{
		Tenant: "globex", Device: "d-1", Hardware: agenttest.Hardware, Version: 7, Issued: now, Expires: now.Add(time.Hour), Update: uuid.NewString(),
		Target: &direction.Target{Path: release, Length: 10, SHA256: firmware.Sum([]byte("x")), Counter: 3},
	}, signer{key})
	must(h.t, err)
	_, err = c.Accept(context.Background(), raw)
	return err == nil
}

// signer is a key as package direction wants it.
type signer struct{ tuftest.Key }

func (s signer) ID() string { return s.Key.ID }
