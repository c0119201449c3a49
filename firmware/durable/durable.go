// Package durable keeps bytes through a power cut.
//
// # Whole files
//
// WriteFile and File replace a file in one step. The order is: write to a
// temporary file in the same folder; fsync it; rename it over the old file;
// fsync the folder. A crash leaves:
//
//	before the rename            the old file, and perhaps a leftover ".tmp-…"
//	after the rename             the old file or the new one, each whole
//	after the folder's fsync     the new file
//
// A leftover is removed by SweepTemps at the next start. When the last fsync
// fails the new file may be in place although an error was returned, and may
// be gone after a crash; a caller that gets an error knows that the file is
// old or new, not which.
//
// # Two-copy state
//
// SavePair and LoadPair keep a small state in two files, NAME.0 and NAME.1,
// of which each save replaces the older. They stand a medium or a file system
// that keeps less than it promised: a copy that is empty, cut off, half old or
// garbage is found by its checksum, and the other one, which was not touched,
// holds. Each copy is:
//
//	 0    8  magic: 0x89 "FLS" 0x0D 0x0A 0x1A 0x01
//	 8    8  sequence, little-endian
//	16    4  length of the payload, little-endian
//	20    n  payload
//	20+n  4  CRC-32C of everything before, little-endian
//
// The copy with the later sequence holds. Sequences are compared by their
// difference, so a wrap around does no harm. A crash in SavePair leaves:
//
//	while the temporary is written       both copies as they were
//	between its rename and the fsync     the older copy as it was, or new, or, if the
//	                                     file system lied, bad; the newer untouched
//	after the folder's fsync             the new copy and the one before it
//
// The temporary of a pair has a fixed name, so that no number of crashes makes
// more than one of it.
//
// # Gaps
//
// Known, and not closed here: a device that reports an fsync as done while the
// data is in a volatile cache; a newest copy that rots later, which brings the
// state before it back (where a step back is worse than a refusal, save the same
// state twice, and both copies hold it); folders made by others
// whose own entries were never synced; network file systems, whose rename and
// locks are other than Linux's local ones. The read-back of SavePair asks the
// kernel to drop the page first, but a drive may answer from its own cache.
// CRC-32C finds accidents, not forgery.
//
// Linux only.
package durable

import (
	"fmt"
	"io/fs"
	"os"
)

// tempPrefix starts the name of every temporary file.
const tempPrefix = ".tmp-"

// WriteFile replaces the file path by data, with exactly the permissions perm.
// What was there before, a symbolic link too, is replaced and not followed.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return Disk{}.WriteFile(path, data, perm)
}

// File is a Replacement in the system's own file system.
type File struct {
	*os.File
	to *Replacement
}

// Create makes the temporary file that Commit will rename to path.
func Create(path string, perm fs.FileMode) (*File, error) {
	r, err := Disk{}.Create(path, perm)
	if err != nil {
		return nil, err
	}
	return &File{r.Handle.(*os.File), r}, nil
}

// Commit makes what was written durable under the final path. On error
// nothing is left beside it.
func (f *File) Commit() error { return f.to.Commit() }

// Abort drops what was written.
func (f *File) Abort() { f.to.Abort() }

// Spool makes a file in dir for bytes on their way, without a name: it is gone
// when it is closed, whatever closes it.
func Spool(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	return f, nil
}

// SyncDir makes the entries of a folder durable: what was created, renamed and
// removed in it.
func SyncDir(dir string) error { return Disk{}.SyncDir(dir) }

// Rename renames durably. The file's own bytes must have been synced before.
// A crash leaves the old name or the new one; between two folders perhaps both.
func Rename(oldPath, newPath string) error { return Disk{}.Rename(oldPath, newPath) }

// Remove removes a file or an empty folder durably. It is not an error if
// there is none.
func Remove(path string) error { return Disk{}.Remove(path) }

// MkdirAll makes a folder and those above it that are missing, each durable
// before the next.
func MkdirAll(path string, perm fs.FileMode) error { return Disk{}.MkdirAll(path, perm) }

// SweepTemps removes the temporary files that crashes left in dir. Call it
// where nobody else writes to dir, under the lock that guards it. A folder
// that does not exist holds none.
func SweepTemps(dir string) error { return Disk{}.SweepTemps(dir) }
