package agent

import (
	"archive/zip"
	"crypto/x509"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead/fairlead/agent/link"
	"github.com/fairlead/fairlead/tufrepo/client"
)

// openSource opens a repository that a person names.
func (s *session) openSource(source string) (src client.Source, closeSource func(), err error) {
	if strings.Contains(source, "://") {
		return s.openURL(source)
	}
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("open the repository: %w: want a packed repository (.zip), a repository's folder, or its https address", err)
	case info.IsDir():
		return openFolder(source)
	}
	return openPack(source, info.Size())
}

// maxPackDirectory is the most that the list of a pack's files may take, in bytes. It is read whole.
const maxPackDirectory = 1 << 20

func openPack(path string, size int64) (client.Source, func(), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the repository: %w", err)
	}
	r := &measured{ReaderAt: f, left: maxPackDirectory}
	z, err := zip.NewReader(r, size)
	if err != nil {
		f.Close()
		return nil, nil, refuse(Corrupt, "open the repository: %s: %w: want what fairlead-repo pack made", path, err)
	}
	r.opened = true
	return client.FSSource(z), func() { f.Close() }, nil
}

// measured lets only so much be read until it is opened.
type measured struct {
	io.ReaderAt
	left   int64
	opened bool
}

func (m *measured) ReadAt(p []byte, off int64) (int, error) {
	if m.left -= int64(len(p)); m.left < 0 && !m.opened {
		return 0, fmt.Errorf("the list of its files is longer than %d bytes", maxPackDirectory)
	}
	return m.ReaderAt.ReadAt(p, off)
}

func openFolder(dir string) (client.Source, func(), error) {
	if _, err := os.Stat(filepath.Join(dir, "metadata", "timestamp.json")); err != nil {
		return nil, nil, fmt.Errorf("open the repository: %s is not the folder of one: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open the repository: %w", err)
	}
	return client.FSSource(root.FS()), func() { root.Close() }, nil
}

// openURL reads from any https server. What it says is verified; its certificate may be one
// of the service's authorities or of the system's.
func (s *session) openURL(address string) (client.Source, func(), error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fmt.Errorf("open the repository: %q is not an https address", address)
	}
	n, err := s.network()
	if err != nil {
		return nil, nil, err
	}
	n.Service = "https://" + u.Host
	if n.Roots, err = withSystem(s.cfg.CA); err != nil {
		return nil, nil, err
	}
	hc, err := link.NewHTTPClient(n, nil)
	if err != nil {
		return nil, nil, err
	}
	return client.HTTPSource(u, hc, client.HTTPOptions{Clock: s.now}), hc.CloseIdleConnections, nil
}

// withSystem are the system's authorities and those of a file.
func withSystem(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, keyError("ca", "%w", err)
	}
	pool.AppendCertsFromPEM(b)
	return pool, nil
}
