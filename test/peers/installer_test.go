package peers

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// installer brings the new image into the slot once; what is made beforehand is made when it is set up.
type installer struct {
	name    string
	remote  bool  // over HTTP or HTTPS from this machine, else from a file
	carried int64 // bytes of what carries the image
	install func() usage
}

// serveFiles serves a folder over HTTP, at an address of this machine, until the benchmark ends.
func serveFiles(b testing.TB, dir, host string) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", host+":0")
	must(b, err)
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	b.Cleanup(func() { server.Close() })
	go server.Serve(l)
	return "http://" + l.Addr().String()
}

// signingKey makes a key and a certificate that swupdate and rauc both take.
func signingKey(b testing.TB, dir string) (key, cert string) {
	b.Helper()
	need(b, "openssl")
	key, cert = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	run(b, "openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=peers",
		"-addext", "extendedKeyUsage=emailProtection,codeSigning", "-addext", "keyUsage=digitalSignature")
	return key, cert
}

func copyDD(b testing.TB, p pair, s slot) installer {
	return installer{
		name: "dd, the floor: no check, no signature", carried: size(b, p.new),
		install: func() usage { return run(b, "dd", "if="+p.new, "of="+s.device, "bs=1M", "conv=notrunc", "status=none") },
	}
}

// fairleadInstallers are the agent, from the service and from the repository's folder.
func fairleadInstallers(b testing.TB, c cache, p pair, s slot) []installer {
	b.Helper()
	w := newWorld(b, c)
	artifact := w.publish(b, "1.1.0", p.new)
	w.serve(b, "127.0.0.1")
	runs := filepath.Join(w.dir, "running") // what runs is of no use either
	must(b, os.WriteFile(runs, []byte("nothing"), 0o600))
	from := func(source string) func() usage {
		return func() usage {
			u, _ := w.install(b, w.device(b, runs, s.device, size(b, p.new)), source)
			return u
		}
	}
	return []installer{
		{"fairlead-agent, HTTPS", true, artifact, from(w.url)},
		{"fairlead-agent, folder", false, artifact, from(w.at("repo"))},
	}
}
