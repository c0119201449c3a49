package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/firmware/strictjson"
	"github.com/fairlead/fairlead/tufrepo/listing"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxCustom bounds the custom object of a target, in bytes.
const maxCustom = 8 << 10

// Custom is the custom object of a release's target.
type Custom = listing.Custom

// Target makes the entry of a release in its product's role from the bytes of
// its manifest. path is that of the target.
func Target(manifest []byte) (path string, entry *metadata.TargetFiles, err error) {
	m, err := firmware.ParseManifest(manifest)
	if err != nil {
		return "", nil, err
	}
	custom, err := json.Marshal(Custom{Counter: m.Counter, Hardware: m.Hardware, Product: m.Product, Version: m.Version})
	if err != nil {
		return "", nil, fmt.Errorf("describing release %s %s: %w", m.Product, m.Version, err)
	}
	path = firmware.TargetPath(m.Product, m.Version)
	sum, raw := firmware.Sum(manifest), json.RawMessage(custom)
	return path, &metadata.TargetFiles{
		Path: path, Length: int64(len(manifest)), Hashes: metadata.Hashes{"sha256": sum[:]}, Custom: &raw,
	}, nil
}

// Entry is a release as its product's role lists it.
type Entry struct {
	Path string
	firmware.Blob
	Custom
	Channel firmware.Channel `json:"channel"` // how far the role's signers have moved it
}

// LogEntry is what stands in the log for the release.
func (e Entry) LogEntry() ([]byte, error) {
	custom, err := json.Marshal(e.Custom)
	if err != nil {
		return nil, err
	}
	leaf, err := tlog.NewLeaf(e.Path, e.Blob, custom)
	if err != nil {
		return nil, err
	}
	return leaf.Encode()
}

// Releases lists what a product's role holds, by rising counter. Entries that
// are not releases of that product are an error, which holds all that is wrong.
func Releases(product string, role *metadata.Metadata[metadata.TargetsType]) ([]Entry, error) {
	all, faults := listed(product, role)
	return all, errors.Join(faults...)
}

// listed is Releases with all that is wrong with the role, whoever signed it.
func listed(product string, role *metadata.Metadata[metadata.TargetsType]) ([]Entry, []error) {
	all, faults := entries(product, role)
	channels, channelFaults := channels(product, role)
	if faults = append(faults, channelFaults...); len(faults) > 0 {
		return nil, faults
	}
	for i, e := range all {
		all[i].Channel = cmp.Or(channels[e.Version], firmware.Stable)
	}
	slices.SortFunc(all, func(a, b Entry) int { return int(a.Counter - b.Counter) })
	return all, nil
}

func parseEntry(path string, t *metadata.TargetFiles) (Entry, error) {
	e, err := entryOf(path, t)
	if err != nil {
		return e, fmt.Errorf("target %.150q: %w", path, err)
	}
	return e, nil
}

func entryOf(path string, t *metadata.TargetFiles) (Entry, error) {
	e := Entry{Path: path}
	product, version, err := firmware.ParseTargetPath(path)
	if err != nil {
		return e, err
	}
	if t == nil || len(t.Hashes) != 1 || len(t.Hashes["sha256"]) != len(e.SHA256) {
		return e, errors.New("exactly one hash is wanted, a sha256")
	}
	if len(t.UnrecognizedFields) > 0 {
		return e, errors.New("it has members besides length, hashes and custom")
	}
	e.Length = t.Length
	copy(e.SHA256[:], t.Hashes["sha256"])
	if t.Length < 1 || t.Length > firmware.MaxManifest {
		return e, fmt.Errorf("length %d is not that of a manifest", t.Length)
	}
	if t.Custom == nil {
		return e, errors.New("it has no custom object with product, version, counter and hardware")
	}
	if e.Custom, err = parseCustom(*t.Custom); err != nil {
		return e, fmt.Errorf("custom: %w", err)
	}
	if e.Product != product || e.Version != version {
		return e, fmt.Errorf("custom is about %q %q", e.Product, e.Version)
	}
	return e, e.checkCustom()
}

// parseCustom reads the custom object strictly.
func parseCustom(raw []byte) (c Custom, err error) {
	if c, ok := listing.ReadCustom(raw); ok && len(raw) <= maxCustom {
		return c, nil
	}
	return c, strictjson.Decode(raw, strictjson.Options{MaxBytes: maxCustom, Known: true}, &c)
}

func (e Entry) checkCustom() error {
	if e.Counter < 1 || e.Counter > firmware.MaxCounter {
		return fmt.Errorf("counter %d is not within 1 and %d", e.Counter, int64(firmware.MaxCounter))
	}
	if len(e.Hardware) == 0 {
		return errors.New("it is for no hardware")
	}
	return nil
}

// manifest parses raw as the manifest that the entry promises.
func (e Entry) manifest(raw []byte) (*firmware.Manifest, error) {
	if int64(len(raw)) != e.Length || firmware.Sum(raw) != e.SHA256 {
		return nil, fmt.Errorf("manifest of %s was altered: its length or SHA-256 is not what the product's role says", e.Path)
	}
	m, err := firmware.ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("manifest of %s: %w", e.Path, err)
	}
	if m.Product != e.Product || m.Version != e.Version || m.Counter != e.Counter || !slices.Equal(m.Hardware, e.Hardware) {
		return nil, fmt.Errorf("manifest of %s says another product, version, counter or hardware than the product's role", e.Path)
	}
	return m, nil
}

// sameEntry tells whether two roles list a target alike.
func sameEntry(a, b *metadata.TargetFiles) bool {
	if a == nil || b == nil || a.Length != b.Length || !bytes.Equal(a.Hashes["sha256"], b.Hashes["sha256"]) {
		return false
	}
	return a.Custom != nil && b.Custom != nil && bytes.Equal(*a.Custom, *b.Custom)
}
