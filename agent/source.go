package agent

import (
	"archive/zip"
	"crypto/x509"
	"fmt"
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
	z, err := zip.OpenReader(source)
	if err != nil {
		return nil, nil, refuse(Corrupt, "open the repository: %s: %w: want what fairlead-repo pack made", source, err)
	}
	return client.FSSource(z), func() { z.Close() }, nil
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
