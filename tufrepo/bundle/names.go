package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TimestampName is the one name of a repository whose content changes.
const TimestampName = "metadata/timestamp.json"

var metadataForm = regexp.MustCompile(`^metadata/([1-9][0-9]{0,9})\.([a-z0-9][a-z0-9._-]{0,63})\.json$`)

// MetadataName is the name of one version of a role, in a bundle and in a
// repository alike.
func MetadataName(version int64, role string) string {
	return fmt.Sprintf("metadata/%d.%s.json", version, role)
}

// ParseMetadataName takes a name of MetadataName apart.
func ParseMetadataName(name string) (version int64, role string, ok bool) {
	m := metadataForm.FindStringSubmatch(name)
	if m == nil {
		return 0, "", false
	}
	version, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || version > MaxVersion || !knownRole(m[2]) {
		return 0, "", false
	}
	return version, m[2], true
}

func knownRole(role string) bool {
	return role == metadata.ROOT || role == metadata.TARGETS || role == metadata.SNAPSHOT || firmware.CheckProduct(role) == nil
}

// BlobName is the name of a blob, in a bundle and in a repository alike.
func BlobName(d firmware.Digest) string { return "blobs/" + d.String() }

// ParseBlobName takes a name of BlobName apart.
func ParseBlobName(name string) (firmware.Digest, bool) {
	hex, ok := strings.CutPrefix(name, "blobs/")
	if !ok {
		return firmware.Digest{}, false
	}
	d, err := firmware.ParseDigest(hex)
	return d, err == nil
}

// ManifestName is the name of a release manifest in a repository: that of the
// target with its SHA-256 before the file name (consistent snapshots).
func ManifestName(target string, d firmware.Digest) string {
	dir, file := path.Split(target)
	return "targets/" + dir + d.String() + "." + file
}

// ParseManifestName takes a name of ManifestName apart.
func ParseManifestName(name string) (target string, d firmware.Digest, ok bool) {
	rest, ok := strings.CutPrefix(name, "targets/")
	if !ok {
		return "", d, false
	}
	dir, file := path.Split(rest)
	hex, file, ok := strings.Cut(file, ".")
	if !ok {
		return "", d, false
	}
	d, err := firmware.ParseDigest(hex)
	if err != nil {
		return "", d, false
	}
	target = dir + file
	_, _, err = firmware.ParseTargetPath(target)
	return target, d, err == nil
}

// PolicyName is the name of a log policy in a repository.
func PolicyName(d firmware.Digest) string { return "targets/" + d.String() + "." + tlog.PolicyPath }

// ParsePolicyName takes a name of PolicyName apart.
func ParsePolicyName(name string) (firmware.Digest, bool) {
	hex, ok := strings.CutPrefix(strings.TrimSuffix(name, "."+tlog.PolicyPath), "targets/")
	d, err := firmware.ParseDigest(hex)
	return d, ok && err == nil && PolicyName(d) == name
}

// ProofName is the name in a repository of the proof that a release stands in
// the log which policy names.
func ProofName(target string, d firmware.Digest, policy *tlog.Policy) string {
	return ManifestName(target, d) + policy.ProofSuffix()
}

var proofForm = regexp.MustCompile(`^(targets/.*)\.[0-9a-f]{16}\.tlog-proof$`)

// ParseProofName takes a name of ProofName apart: it gives that of the manifest.
func ParseProofName(name string) (manifest string, ok bool) {
	m := proofForm.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	_, _, ok = ParseManifestName(m[1])
	return m[1], ok
}

// readFile reads a regular file of at most limit bytes, whole.
func readFile(fsys fs.FS, name string, limit int) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	var b bytes.Buffer
	b.Grow(int(min(st.Size(), int64(limit))) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, int64(limit)+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if b.Len() > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b.Bytes(), nil
}

// readOptional is readFile where nil stands for a file that does not exist.
func readOptional(fsys fs.FS, name string, limit int) ([]byte, error) {
	b, err := readFile(fsys, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
