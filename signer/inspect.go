package signer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/attest"
	"github.com/fairlead/fairlead/tufrepo/bundle"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// Kind is what a file or folder turned out to be.
type Kind string

// The kinds of files and folders of the toolchain.
const (
	KindPublicKey  Kind = "public key"
	KindPrivateKey Kind = "private key"
	KindRoot       Kind = "root metadata"
	KindTargets    Kind = "targets metadata"
	KindProduct    Kind = "product metadata"
	KindSnapshot   Kind = "snapshot metadata"
	KindTimestamp  Kind = "timestamp metadata"
	KindManifest   Kind = "release manifest"
	KindArtifact   Kind = "artifact"
	KindPatch      Kind = "patch"
	KindChunks     Kind = "chunks"
	KindDirection  Kind = "direction"
	KindSaid       Kind = "attestation"
	KindBundle     Kind = "bundle"
	KindRepository Kind = "repository"
)

// Inspection is what a file says of itself. Nothing in it is verified but that the file is well formed.
type Inspection struct {
	Path    string `json:"path"`
	Kind    Kind   `json:"kind"`
	Content any    `json:"content"` // by kind: KeyInfo, MetadataInfo, *firmware.Manifest, ArtifactInfo, PatchInfo, ChunksInfo, DirectionInfo, AttestationInfo or *View

	text // the content for people
}

// sample is enough of a file to tell PEM and JSON from the rest.
const sample = 512

// Recognise tells by its content what path is. ErrRefused: nothing of this toolchain.
func Recognise(path string) (Kind, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if st.IsDir() {
		return recogniseFolder(path)
	}
	if !st.Mode().IsRegular() {
		return "", refuse("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, sample))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	switch text := bytes.TrimLeft(head, " \t\r\n"); {
	case bytes.HasPrefix(head, []byte("\x89FLA\r\n\x1a\n")):
		return KindArtifact, nil
	case bytes.HasPrefix(head, []byte("\x89FLP\r\n\x1a\n")):
		return KindPatch, nil
	case bytes.HasPrefix(head, []byte("\x89FLC\r\n\x1a\n")):
		return KindChunks, nil
	case bytes.HasPrefix(text, []byte("-----BEGIN PUBLIC KEY-----")):
		return KindPublicKey, nil
	case bytes.HasPrefix(text, []byte("-----BEGIN ")) && bytes.Contains(text, []byte("PRIVATE KEY-----")):
		return KindPrivateKey, nil
	case bytes.HasPrefix(text, []byte("{")):
		return recogniseJSON(path)
	}
	return "", refuse("%s is not a key, metadata, manifest, artifact, patch, file of chunks or direction of this toolchain", path)
}

func recogniseFolder(dir string) (Kind, error) {
	if _, err := os.Stat(filepath.Join(dir, bundle.TimestampName)); err == nil {
		return KindRepository, nil
	}
	_, err := os.Stat(filepath.Join(dir, "metadata"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", refuse("folder %s has no folder metadata: it is neither a bundle nor a repository", dir)
	}
	return KindBundle, err
}

func recogniseJSON(path string) (Kind, error) {
	data, err := readFile(path, bundle.MaxTargets)
	if err != nil {
		return "", err
	}
	role, err := bundle.RoleType(data)
	if err != nil {
		if _, manifestErr := firmware.ParseManifest(data); manifestErr == nil || looksLikeManifest(data) {
			return KindManifest, nil
		}
		if _, said := attest.Parse(data); said == nil {
			return KindSaid, nil
		}
		return "", refuse("%s is damaged, or not of this toolchain: %w", path, err)
	}
	switch role {
	case metadata.ROOT:
		return KindRoot, nil
	case metadata.SNAPSHOT:
		return KindSnapshot, nil
	case metadata.TIMESTAMP:
		return KindTimestamp, nil
	}
	return recogniseTargets(path, data)
}

// looksLikeManifest: its own parser then says what is wrong with it.
func looksLikeManifest(data []byte) bool {
	var peek struct {
		Schema  int    `json:"schema"`
		Product string `json:"product"`
	}
	return json.Unmarshal(data, &peek) == nil && peek.Schema > 0 && peek.Product != ""
}

// recogniseTargets tells the three uses of TUF's targets type apart.
func recogniseTargets(path string, data []byte) (Kind, error) {
	var peek struct {
		Signed struct {
			Direction json.RawMessage            `json:"x-fairlead-direction"`
			Targets   map[string]json.RawMessage `json:"targets"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(data, &peek); err != nil {
		return "", refuse("%s: %w", path, err)
	}
	delete(peek.Signed.Targets, tlog.PolicyPath)
	_, role, named := bundle.ParseMetadataName("metadata/" + filepath.Base(path))
	switch {
	case peek.Signed.Direction != nil:
		return KindDirection, nil
	case named && role != metadata.TARGETS, len(peek.Signed.Targets) > 0:
		return KindProduct, nil
	}
	return KindTargets, nil
}

// Inspect shows what a file or folder says. It never shows a secret, and asks for no passphrase.
func Inspect(path string, now time.Time) (*Inspection, error) {
	kind, err := Recognise(path)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Path: path, Kind: kind}
	switch kind {
	case KindPublicKey, KindPrivateKey:
		err = in.key()
	case KindArtifact:
		err = in.artifact()
	case KindPatch:
		err = in.patch()
	case KindChunks:
		err = in.chunks()
	case KindBundle, KindRepository:
		err = in.folder(now)
	default:
		err = in.json(now)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (in *Inspection) folder(now time.Time) error {
	read := func() (*View, error) { return ReadView(in.Path, "", "") }
	if in.Kind == KindRepository {
		read = func() (*View, error) { return ReadRepositoryView(in.Path, "") }
	}
	v, err := read()
	if err != nil {
		return err
	}
	in.Content = v
	in.say("it follows %s", v.Base)
	for _, f := range v.Files {
		f.text(&in.text, now)
	}
	return nil
}

// json shows every kind of JSON file.
func (in *Inspection) json(now time.Time) error {
	data, err := readFile(in.Path, bundle.MaxTargets)
	if err != nil {
		return err
	}
	switch in.Kind {
	case KindManifest:
		return in.manifest(data)
	case KindDirection:
		return in.direction(data, now)
	case KindSaid:
		return in.attestation(data)
	case KindRoot:
		return inspectMeta[metadata.RootType](in, data, now)
	case KindSnapshot:
		return inspectMeta[metadata.SnapshotType](in, data, now)
	case KindTimestamp:
		return inspectMeta[metadata.TimestampType](in, data, now)
	}
	return inspectMeta[metadata.TargetsType](in, data, now)
}

func (in *Inspection) manifest(data []byte) error {
	m, err := firmware.ParseManifest(data)
	if err != nil {
		return refuse("%s: %w", in.Path, err)
	}
	in.Content = m
	in.say("release %s of %s, counter %d", m.Version, m.Product, m.Counter)
	in.say("for hardware %s", strings.Join(m.Hardware, " "))
	for _, line := range manifestWords(m) {
		in.say("%s", strings.TrimSpace(line))
	}
	in.say("artifact head: %s", bytesWords(m.Artifact.Head.Length))
	return nil
}

// WriteText writes the inspection for people.
func (in *Inspection) WriteText(w io.Writer) error {
	t := text{lines: []string{printable(in.Path + ": " + string(in.Kind))}}
	for _, line := range in.lines {
		t.lines = append(t.lines, "  "+line)
	}
	return t.writeTo(w)
}
