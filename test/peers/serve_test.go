package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// load is what the devices of a fleet ask of whoever serves the repository.
type load struct{ what, path, script string }

// BenchmarkServe: the service beside nginx with the same files, by TLS 1.3 with the same cipher and keys of the same kind. wrk
// asks, on the same processors, so that a server that takes half as long is not twice as quick here; what it takes itself
// is the processor's time.
func BenchmarkServe(b *testing.B) {
	need(b, "nginx", "wrk", "openssl")
	c := openCache(b)
	w := newWorld(b, c)
	image := w.at("image")
	must(b, os.WriteFile(image, noise(1<<26), 0o600))
	length := w.publish(b, "1.0.0", image)
	w.serve(b, "127.0.0.1")
	blobs, err := filepath.Glob(w.at("repo", "blobs", "*"))
	must(b, err)
	blob := ""
	for _, f := range blobs {
		if size(b, f) == length {
			blob = "/blobs/" + filepath.Base(f)
		}
	}
	theirs, nginx := w.nginx(b)
	t := newTable("Serving a repository by TLS, 32 connections, 10 s each", "what", "server", "requests a second", "fairlead ÷ nginx",
		"its CPU ms a request", "fairlead ÷ nginx")
	defer t.print()
	t.note("wrk asks, on the same processors: what a request takes of the server is the second ratio")
	once(b, func() {
		for _, l := range []load{
			{"1 MiB of an artifact", blob, fmt.Sprintf(someRange, length>>20)},
			{"the timestamp", "/metadata/timestamp.json", ""},
			{"the timestamp, a connection each", "/metadata/timestamp.json", `wrk.headers["Connection"] = "close"`},
		} {
			their := w.ask10s(b, l, theirs, nginx)
			our := w.ask10s(b, l, w.url, w.service)
			t.add(l.what, "nginx", int(their.rate), "", fmt.Sprintf("%.3f", their.cpu), "")
			t.add(l.what, "fairlead", int(our.rate), ratio(our.rate/their.rate), fmt.Sprintf("%.3f", our.cpu), ratio(our.cpu/their.cpu))
			b.ReportMetric(our.rate/their.rate, strings.ReplaceAll(strings.ReplaceAll(l.what, ",", ""), " ", "-")+"-rate÷nginx")
		}
	})
}

const someRange = `request = function()
  local at = math.random(0, %d - 1) * 1048576
  return wrk.format("GET", nil, {["Range"] = string.format("bytes=%%d-%%d", at, at + 1048575)})
end`

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// nginx serves the files of the repository until the benchmark ends.
func (w *world) nginx(b testing.TB) (url string, pid int) {
	b.Helper()
	run(b, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN=127.0.0.1", "-keyout", w.at("tls.key"), "-out", w.at("tls.crt"))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	address := free.Addr().String()
	must(b, free.Close())
	config := fmt.Sprintf(`daemon off; worker_processes auto; pid %[1]s/nginx.pid; error_log stderr warn; user root;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; types { } default_type application/octet-stream;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server {
    listen %[2]s ssl; root %[1]s/repo;
    ssl_certificate %[1]s/tls.crt; ssl_certificate_key %[1]s/tls.key; ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  }
}
`, w.dir, address)
	must(b, os.WriteFile(w.at("nginx.conf"), []byte(config), 0o600))
	must(b, os.Chmod(w.dir, 0o755))
	cmd := exec.Command("nginx", "-c", w.at("nginx.conf"))
	cmd.Stderr = os.Stderr
	background(b, cmd)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return "https://" + address, cmd.Process.Pid
		} else if time.Now().After(deadline) {
			b.Fatalf("start nginx: %v", err)
		}
	}
}

// served is how many requests a second were answered, and what each took of the server, in milliseconds.
type served struct{ rate, cpu float64 }

var answered = regexp.MustCompile(`(\d+) requests in .*\n(?s:.*)Requests/sec: +([0-9.]+)`)

// ask10s loads a server for ten seconds.
func (w *world) ask10s(b testing.TB, l load, url string, pid int) served {
	b.Helper()
	script := w.at("load.lua")
	must(b, os.WriteFile(script, []byte(l.script), 0o600))
	before := cpuOf(b, pid)
	said := output(b, "wrk", "-t", "2", "-c", "32", "-d", "10s", "-s", script, url+l.path)
	took := cpuOf(b, pid) - before
	m := answered.FindStringSubmatch(said)
	if m == nil || strings.Contains(said, "Non-2xx") || strings.Contains(said, "Socket errors") {
		b.Fatalf("%s, %s:\n%s", l.what, url, said)
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	rate, _ := strconv.ParseFloat(m[2], 64)
	return served{rate, float64(took.Milliseconds()) / n}
}

// cpuOf is the time of a process and of its children.
func cpuOf(b testing.TB, pid int) time.Duration {
	b.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	total := time.Duration(user+system) * tick
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	must(b, err)
	for _, child := range strings.Fields(string(children)) {
		id, err := strconv.Atoi(child)
		must(b, err)
		total += cpuOf(b, id)
	}
	return total
}
