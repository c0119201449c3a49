package monitor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/firmware"
	"github.com/fairlead/fairlead/tufrepo/tlog"
)

// maxAnnounced bounds how many files are looked at.
const maxAnnounced = 1_000_000

// Announced collects the releases whose manifests lie in files or below folders:
// the bundles that engineers keep, or a repository. Files that are no release
// manifest are passed over. n is how many were found.
func Announced(paths ...string) (is func(entry []byte) bool, n int, err error) {
	known := map[firmware.Digest]bool{}
	files := 0
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || !strings.HasSuffix(name, ".json") {
				return err
			}
			if files++; files > maxAnnounced {
				return fmt.Errorf("more than %d files", maxAnnounced)
			}
			raw, err := small(name, e, firmware.MaxManifest)
			if err != nil || raw == nil {
				return err
			}
			if entry, ok := manifestEntry(raw); ok {
				known[tlog.Hash(entry)] = true
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("reading what was announced in %s: %w", path, err)
		}
	}
	return func(entry []byte) bool { return known[tlog.Hash(entry)] }, len(known), nil
}

func manifestEntry(raw []byte) ([]byte, bool) {
	leaf, err := tlog.LeafOfManifest(raw)
	if err != nil {
		return nil, false
	}
	entry, err := leaf.Encode()
	return entry, err == nil
}

// small reads a file; nil if it has more than limit bytes.
func small(name string, e fs.DirEntry, limit int64) ([]byte, error) {
	info, err := e.Info()
	if err != nil || info.Size() > limit {
		return nil, err
	}
	return os.ReadFile(name)
}

// Proofs reads the proofs (*.tlog-proof) in files or below folders.
func Proofs(paths ...string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() || name != path && !strings.HasSuffix(name, ".tlog-proof") {
				return err
			}
			raw, err := small(name, e, tlog.MaxProof)
			if err == nil && raw == nil {
				err = fmt.Errorf("%s has more than %d bytes", name, tlog.MaxProof)
			}
			found[name] = raw
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading proofs in %s: %w", path, err)
		}
	}
	return found, nil
}
