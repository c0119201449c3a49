package signer

import (
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/direction"
	"github.com/fairlead/fairlead/tufrepo/keyfile"
)

// KeyInfo is what is shown of a key file.
type KeyInfo struct {
	Type      keyfile.Algorithm `json:"type,omitempty"` // "" for an encrypted private key
	ID        string            `json:"id,omitempty"`   // TUF key id; "" for an encrypted private key
	Encrypted bool              `json:"encrypted"`
	Open      bool              `json:"readable_by_others,omitempty"` // a private key that others can read
}

func (in *Inspection) key() error {
	info, err := readKeyInfo(in.Path, in.Kind)
	if err != nil {
		return err
	}
	in.Content = info
	if info.Encrypted {
		in.say("encrypted with a passphrase; its id and type stand in the .pub file")
	} else {
		in.say("type %s", info.Type)
		in.say("key id %s", info.ID)
	}
	if in.Kind == KindPrivateKey && !info.Encrypted && !info.Open {
		in.say("not encrypted: whoever reads the file has the key")
	}
	if info.Open {
		in.say("others can read it: no command will use it; run: chmod 600 %s", in.Path)
	}
	return nil
}

func readKeyInfo(path string, kind Kind) (KeyInfo, error) {
	if kind == KindPublicKey {
		pub, err := keyfile.LoadPublic(path)
		if err != nil {
			return KeyInfo{}, refusal{err}
		}
		return publicInfo(pub)
	}
	key, err := keyfile.Load(path, nil)
	switch {
	case errors.Is(err, keyfile.ErrPermissions):
		return KeyInfo{Encrypted: isEncrypted(path), Open: true}, nil
	case errors.Is(err, keyfile.ErrPassphrase):
		return KeyInfo{Encrypted: true}, nil
	case err != nil:
		return KeyInfo{}, refusal{err}
	}
	return publicInfo(key.Public())
}

func publicInfo(pub any) (KeyInfo, error) {
	alg, err := keyfile.AlgorithmOf(pub)
	if err != nil {
		return KeyInfo{}, refusal{err}
	}
	key, err := keyfile.TUFKey(pub)
	if err != nil {
		return KeyInfo{}, refusal{err}
	}
	id, err := key.ID()
	return KeyInfo{Type: alg, ID: id}, err
}

func isEncrypted(path string) bool {
	data, err := readFile(path, keyfile.MaxFile)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(data)
	return block != nil && block.Type == string(cryptoutils.EncryptedSigstorePrivateKeyPEMType)
}

// ArtifactInfo is what an artifact's head says.
type ArtifactInfo struct {
	Image     int64         `json:"image_length"`
	Length    int64         `json:"length"`
	Head      firmware.Blob `json:"head"`
	FrameSize int           `json:"frame_size"`
	Zero      int           `json:"zero_frames"`
	Zstd      int           `json:"zstd_frames"`
	Raw       int           `json:"raw_frames"`
	Ratio     float64       `json:"ratio"` // image length by artifact length
}

func (in *Inspection) artifact() error {
	head, err := openArtifact(in.Path)
	if err != nil {
		return err
	}
	encoded := head.Encode()
	info := ArtifactInfo{
		Image: head.ImageLength(), Length: head.ArtifactLength(), FrameSize: head.FrameSize(),
		Head:  firmware.Blob{Length: int64(len(encoded)), SHA256: firmware.Sum(encoded)},
		Ratio: float64(head.ImageLength()) / float64(max(head.ArtifactLength(), 1)),
	}
	for i := range head.Len() {
		switch head.Frame(i).Kind {
		case firmware.FrameZero:
			info.Zero++
		case firmware.FrameZstd:
			info.Zstd++
		case firmware.FrameRaw:
			info.Raw++
		}
	}
	in.Content = info
	in.say("image: %s", bytesWords(info.Image))
	in.say("artifact: %s, ratio %.2f", bytesWords(info.Length), info.Ratio)
	in.say("head: %s, SHA-256 %s", bytesWords(info.Head.Length), info.Head.SHA256)
	in.say("%d frames of %s: %d compressed, %d raw, %d of zeros", head.Len(), bytesWords(int64(info.FrameSize)), info.Zstd, info.Raw, info.Zero)
	return nil
}

// openArtifact reads the head, and compares the file's length with it.
func openArtifact(path string) (*firmware.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := firmware.ReadHead(f)
	if err != nil {
		return nil, refuse("%s: %w", path, err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() != head.ArtifactLength() {
		return nil, refuse("%s has %d bytes, its header says %d: it was cut off or added to; copy it again", path, st.Size(), head.ArtifactLength())
	}
	return head, nil
}

// DirectionInfo is what a direction says.
type DirectionInfo struct {
	Tenant   string          `json:"tenant"`
	Device   string          `json:"device"`
	Hardware string          `json:"hardware"`
	Version  int64           `json:"version"`
	Issued   time.Time       `json:"issued"`
	Expires  time.Time       `json:"expires"`
	Update   string          `json:"update,omitempty"`
	Target   string          `json:"target,omitempty"` // manifest path; "" asks for nothing
	SHA256   firmware.Digest `json:"sha256,omitzero"`  // of the manifest
	Counter  int64           `json:"counter,omitempty"`
}

func (in *Inspection) direction(data []byte, now time.Time) error {
	d, err := direction.Unverified(data)
	if err != nil {
		return refuse("%s: %w", in.Path, err)
	}
	info := DirectionInfo{Tenant: d.Tenant, Device: d.Device, Hardware: d.Hardware, Version: d.Version,
		Issued: d.Issued, Expires: d.Expires, Update: d.Update}
	in.say("direction %d to device %q of tenant %q, hardware %s", d.Version, d.Device, d.Tenant, d.Hardware)
	in.say("issued %s, %s", day(d.Issued), lifetimeWords(d.Expires, now))
	if d.Target == nil {
		in.say("install nothing")
	} else {
		info.Target, info.SHA256, info.Counter = d.Target.Path, d.Target.SHA256, d.Target.Counter
		in.say("install %s, counter %d, manifest SHA-256 %s", d.Target.Path, d.Target.Counter, d.Target.SHA256)
		in.say("update %s", d.Update)
	}
	in.Content = info
	return nil
}

// MetadataInfo is what a TUF metadata file says.
type MetadataInfo struct {
	Type    string                `json:"type"`
	Version int64                 `json:"version"`
	Expires time.Time             `json:"expires"`
	Issued  *time.Time            `json:"issued,omitempty"`
	Signed  []Person              `json:"signatures"` // whose signature stands in it; not verified
	Roles   map[string]RoleInfo   `json:"roles,omitempty"`
	Release []bundle.Entry        `json:"releases,omitempty"`
	Files   map[string]MetaOfFile `json:"files,omitempty"`
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
		return in.releases(info, m)
	}
	return nil
}

func (in *Inspection) releases(info *MetadataInfo, m *targetsMeta) error {
	for _, path := range slices.Sorted(maps.Keys(m.Signed.Targets)) {
		product, _, err := firmware.ParseTargetPath(path)
		if err != nil {
			return refuse("%s: %w", in.Path, err)
		}
		if info.Release, err = bundle.Releases(product, m); err != nil {
			return refuse("%s: %w", in.Path, err)
		}
		break
	}
	for _, e := range info.Release {
		in.say("release %s of %s: counter %d, for hardware %v, manifest SHA-256 %s", e.Version, e.Product, e.Counter, e.Hardware, e.SHA256)
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
