package signer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// MetadataInfo is what a TUF metadata file says.
type MetadataInfo struct {
	Type    string              `json:"type"`
	Version int64               `json:"version"`
	Expires time.Time           `json:"expires"`
	Issued  *time.Time          `json:"issued,omitempty"`
	Signed  []Person            `json:"signatures"` // whose signature stands in it; not verified
	Roles   map[string]RoleInfo `json:"roles,omitempty"`
	Release []bundle.Entry      `json:"releases,omitempty"`
	// LogPolicy is the SHA-256 of the log policy that a targets file names.
	LogPolicy string                `json:"log_policy,omitempty"`
	Files     map[string]MetaOfFile `json:"files,omitempty"`
}

// RoleInfo is who may sign a role.
type RoleInfo struct {
	Threshold int      `json:"threshold"`
	Keys      []Person `json:"keys"`
}

// MetaOfFile is what snapshot and timestamp say of another file.
type MetaOfFile struct {
	Version int64  `json:"version"`
	Length  int64  `json:"length,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
}

func inspectMeta[T metadata.Roles](in *Inspection, data []byte, now time.Time) error {
	m, err := parse[T](in.Path, data)
	if err != nil {
		return err
	}
	var members map[string]any
	info := MetadataInfo{Roles: map[string]RoleInfo{}}
	switch s := any(&m.Signed).(type) {
	case *metadata.RootType:
		info.Type, info.Version, info.Expires, members = s.Type, s.Version, s.Expires, s.UnrecognizedFields
	case *metadata.TargetsType:
		info.Type, info.Version, info.Expires, members = s.Type, s.Version, s.Expires, s.UnrecognizedFields
	case *metadata.SnapshotType:
		info.Type, info.Version, info.Expires, members = s.Type, s.Version, s.Expires, s.UnrecognizedFields
		info.Files = filesOf(s.Meta)
	case *metadata.TimestampType:
		info.Type, info.Version, info.Expires, members = s.Type, s.Version, s.Expires, s.UnrecognizedFields
		info.Files = filesOf(s.Meta)
	}
	if t := issued(members); !t.IsZero() {
		info.Issued = &t
	}
	labels := owners(members)
	for _, s := range m.Signatures {
		info.Signed = append(info.Signed, Person{labels[s.KeyID], s.KeyID})
	}
	in.say("version %d, %s", info.Version, lifetimeWords(info.Expires, now))
	if info.Issued != nil {
		in.say("made on %s", day(*info.Issued))
	}
	if err := in.roles(&info, m, labels); err != nil {
		return err
	}
	in.files(info.Files)
	in.say("%d signature(s), not verified here: %s", len(info.Signed), orNone(names(info.Signed)))
	in.Content = info
	return nil
}

// roles shows who signs what, and releases.
func (in *Inspection) roles(info *MetadataInfo, m any, labels map[string]string) error {
	note := func(role string, e bundle.Entitled) {
		info.Roles[role] = RoleInfo{Threshold: e.Threshold, Keys: people(e.KeyIDs, labels)}
		in.say("%s is signed by %s", role, entitledWords(e, labels))
	}
	switch m := m.(type) {
	case *rootMeta:
		for _, role := range topRoles {
			note(role, bundle.ByRoot(m, role))
		}
	case *targetsMeta:
		for _, product := range delegated(&m.Signed) {
			note(product, bundle.ByTargets(m, product))
		}
		if policy := m.Signed.Targets[tlog.PolicyPath]; policy != nil {
			info.LogPolicy = fmt.Sprintf("%x", []byte(policy.Hashes["sha256"]))
			in.say("releases must be as the log policy says whose SHA-256 is %s", info.LogPolicy)
			return nil // a targets file has no releases
		}
		return in.releases(info, m)
	}
	return nil
}

func (in *Inspection) releases(info *MetadataInfo, m *targetsMeta) error {
	if paths := slices.Sorted(maps.Keys(m.Signed.Targets)); len(paths) > 0 {
		product, _, err := firmware.ParseTargetPath(paths[0]) // a role's targets are all of one product
		if err != nil {
			return refuse("%s: %w", in.Path, err)
		}
		if info.Release, err = bundle.Releases(product, m); err != nil {
			return refuse("%s: %w", in.Path, err)
		}
	}
	for _, e := range info.Release {
		in.say("release %s of %s: counter %d, channel %s, for hardware %v, manifest SHA-256 %s", e.Version, e.Product, e.Counter, e.Channel, e.Hardware, e.SHA256)
	}
	return nil
}

func filesOf(meta map[string]*metadata.MetaFiles) map[string]MetaOfFile {
	files := map[string]MetaOfFile{}
	for name, f := range meta {
		files[name] = MetaOfFile{Version: f.Version, Length: f.Length, SHA256: fmt.Sprintf("%x", []byte(f.Hashes["sha256"]))}
	}
	return files
}

func (in *Inspection) files(files map[string]MetaOfFile) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		in.say("%q: version %d, %d bytes, SHA-256 %s", name, f.Version, f.Length, f.SHA256)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
