package client

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairlead/fairlead/firmware/durable"
)

// store keeps one repository's metadata and floors. With an empty dir it keeps
// them in memory.
type store struct {
	disk  durable.Disk
	dir   string
	cache string
	lock  *durable.Lock
	log   *slog.Logger

	files map[string][]byte // only without dir
	pairs map[string][]byte // only without dir
}

func openStore(disk durable.Disk, dir, cache string, log *slog.Logger) (*store, error) {
	s := &store{disk: disk, dir: dir, cache: cache, log: log, files: map[string][]byte{}, pairs: map[string][]byte{}}
	if dir == "" {
		return s, nil
	}
	if cache == "" {
		s.cache = filepath.Join(dir, "metadata")
	}
	for _, d := range []string{dir, s.cache} {
		// The sync is not needed for an agent, whose next state syncs the folder above, but for those who have no other.
		if err := disk.MkdirAll(d, 0o700); err != nil {
			return nil, storeError("", err)
		}
	}
	lock, err := disk.TryLock(filepath.Join(dir, "lock"))
	if err != nil && !errors.Is(err, unix.EROFS) {
		if errors.Is(err, durable.ErrLocked) {
			return nil, fail(ErrBusy, "", err)
		}
		return nil, storeError("", err)
	}
	s.lock = lock
	s.sweep()
	return s, nil
}

// sweep removes what a crash left. Failing to is no reason not to work.
func (s *store) sweep() {
	for _, d := range []string{s.dir, s.cache} {
		if err := s.disk.SweepTemps(d); err != nil {
			s.log.Warn("cannot remove leftovers of a crash", "dir", d, "error", err)
		}
	}
}

func (s *store) close() error {
	if s.lock == nil {
		return nil
	}
	err := s.lock.Unlock()
	s.lock = nil
	return err
}

// read returns a cached file, or nil if there is none that could be used: such
// a file is dropped, so that it cannot be in the way again.
func (s *store) read(role string, limit int64) []byte {
	if s.dir == "" {
		return s.files[role]
	}
	path := s.path(role)
	b, err := s.readRegular(path, limit)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return b
	}
	s.log.Warn("dropping a cached file that cannot be read", "file", path, "error", err)
	if err := s.disk.RemoveAll(path); err != nil {
		s.log.Warn("cannot drop it", "file", path, "error", err)
	}
	return nil
}

// readRegular reads a file that is nothing else: no link, no pipe that would
// never answer.
func (s *store) readRegular(path string, limit int64) ([]byte, error) {
	f, err := s.disk.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s of %d bytes, at most %d are allowed", info.Mode().Type(), info.Size(), limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// write keeps data as the newest verified metadata of role, durably.
func (s *store) write(role string, data []byte) error {
	if s.dir == "" {
		s.files[role] = data
		return nil
	}
	path := s.path(role)
	if info, err := s.disk.Lstat(path); err == nil && !info.Mode().IsRegular() {
		if err := s.disk.RemoveAll(path); err != nil {
			return storeError(role, err)
		}
	}
	// The syncs are not needed for safety: a file that is lost or torn is refused and fetched again, and the floors lie elsewhere.
	if err := s.disk.WriteFile(path, data, 0o600); err != nil {
		return storeError(role, err)
	}
	return nil
}

// load returns the newest generation of a pair, or nil if there is none.
func (s *store) load(name string) ([]byte, error) {
	if s.dir == "" {
		return s.pairs[name], nil
	}
	b, err := s.disk.LoadPair(s.dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func (s *store) save(name string, data []byte) error {
	if s.dir == "" {
		s.pairs[name] = data
		return nil
	}
	if err := s.disk.SavePair(s.dir, name, data); err != nil {
		return storeError("", err)
	}
	return nil
}

func (s *store) path(role string) string {
	name := escapeRole(role)
	if strings.HasPrefix(name, ".") { // neither hidden nor a leftover to be swept
		name = "%2E" + name[1:]
	}
	return filepath.Join(s.cache, name+".json")
}

// maxRoleName is the longest role name in bytes: escaped, it still fits a file name.
const maxRoleName = 80

// escapeRole makes one plain segment of a role's name, as URLs are quoted.
// Different roles get different segments.
func escapeRole(role string) string {
	var b strings.Builder
	for i := range len(role) {
		c := role[i]
		if strings.IndexByte("-._~", c) >= 0 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
