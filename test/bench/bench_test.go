// Package bench measures whole processes, as a device or a user would see them: `make bench`.
package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	product  = "base-unit"
	hardware = "bu-100"
	gib      = 1 << 30
)

// BenchmarkAgentInstall is fairlead-agent, as a process, installing a 1 GiB image made of this machine's own files from
// HTTPS into a slot: its peak resident memory, and bytes of image a second.
func BenchmarkAgentInstall(b *testing.B) {
	w := newWorld(b)
	w.publishImage(b, "1.1.0", gib)
	url := w.serve(b)
	b.SetBytes(gib)
	var peak int64
	for i := 0; b.Loop(); i++ {
		device := w.device(b, i)
		peak = max(peak, w.install(b, device, url))
	}
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
}

// BenchmarkAgentPatch is the same with a patch, for an image of 768 MiB of which one byte in a thousand changed, all over,
// and some of it moved.
func BenchmarkAgentPatch(b *testing.B) {
	const size = 768 << 20
	w := newWorld(b)
	w.publishImage(b, "1.0.0", size)
	w.publishImage(b, "1.1.0", size)
	url := w.serve(b)
	b.SetBytes(size)
	var peak int64
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		device := w.device(b, i)
		if err := fill(filepath.Join(device, "a.img"), size, "1.0.0"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		peak = max(peak, w.install(b, device, url))
	}
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
}

// world is a repository with one product, in a folder, and the built tools.
type world struct {
	bin, dir string
	ca       string
}

func newWorld(b *testing.B) *world {
	b.Helper()
	w := &world{bin: b.TempDir(), dir: b.TempDir()}
	for _, pkg := range []string{"signer/cmd/fairlead-sign", "tufrepo/cmd/fairlead-repo", "agent/cmd/fairlead-agent"} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w",
			"-o", filepath.Join(w.bin, filepath.Base(pkg)), "github.com/fairlead/fairlead/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	w.run(b, "fairlead-sign", "key", "new", "--no-passphrase", w.at("all"))
	w.run(b, "fairlead-repo", "init", "--repo", w.at("repo"))
	keys := w.at("repo", "state", "keys")
	w.run(b, "fairlead-sign", "root", "new", "--out", w.at("first"), "--root-key", w.at("all.pub"), "--targets-key", w.at("all.pub"),
		"--timestamp-key", filepath.Join(keys, "timestamp.pub"), "--snapshot-key", filepath.Join(keys, "snapshot.pub"))
	w.run(b, "fairlead-sign", "product", "add", "--bundle", w.at("first"), "--key", w.at("all.pub"), product)
	w.signPublish(b, "first")
	return w
}

func (w *world) at(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *world) run(b *testing.B, tool string, args ...string) {
	b.Helper()
	if out, err := exec.Command(filepath.Join(w.bin, tool), args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
}

func (w *world) signPublish(b *testing.B, bundle string) {
	b.Helper()
	w.run(b, "fairlead-sign", "sign", "--yes", "--key", w.at("all.key"), w.at(bundle))
	w.run(b, "fairlead-repo", "publish", "--repo", w.at("repo"), w.at(bundle))
}

func (w *world) publishImage(b *testing.B, version string, size int64) {
	b.Helper()
	image := w.at(version + ".img")
	if err := fill(image, size, version); err != nil {
		b.Fatal(err)
	}
	w.run(b, "fairlead-sign", "release", "--repo", w.at("repo"), "--product", product, "--version", version,
		"--hardware", hardware, "--image", image, "--no-chunks", "--out", w.at(version))
	w.signPublish(b, version)
	if err := os.Remove(image); err != nil {
		b.Fatal(err)
	}
}

// fill makes a file of exactly size bytes out of the files of this machine, over again where they do not suffice. Versions
// differ a little everywhere, and begin elsewhere.
func fill(path string, size int64, version string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := &varied{file, version, 0}
	n, err := io.WriteString(out, strings.Repeat(version+"\n", 1000))
	rest := size - int64(n)
	for rest > 0 && err == nil {
		err = filepath.WalkDir("/usr", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			in, err := os.Open(name)
			if err != nil {
				return nil
			}
			defer in.Close()
			copied, err := io.Copy(out, io.LimitReader(in, rest))
			if rest -= copied; rest == 0 {
				return fs.SkipAll
			}
			return err
		})
	}
	return errors.Join(err, file.Close())
}

// varied writes what it gets, but for a byte now and then.
type varied struct {
	*os.File
	version string
	at      int
}

func (v *varied) Write(p []byte) (int, error) {
	for i := range p {
		if v.at++; v.at%1009 < len(v.version) && v.at%16 == 0 {
			p[i] = v.version[v.at%1009]
		}
	}
	return v.File.Write(p)
}

// serve runs the service until the benchmark ends.
func (w *world) serve(b *testing.B) (url string) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, "fairlead-repo"), "serve", "--repo", w.at("repo"),
		"--listen", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--name", "localhost", "--no-broker", "--json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); cmd.Wait() })
	var where struct{ Devices, CA string }
	if err := json.NewDecoder(stdout).Decode(&where); err != nil {
		b.Fatalf("%v\n%s", err, log.String())
	}
	w.ca = where.CA
	_, port, _ := strings.Cut(where.Devices, ":")
	return "https://localhost:" + port
}

// device makes the folder of a device that has nothing but its configuration.
func (w *world) device(b *testing.B, n int) string {
	b.Helper()
	dir := w.at(fmt.Sprintf("device-%d", n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for _, slot := range []string{"a.img", "b.img"} {
		if err := os.WriteFile(filepath.Join(dir, slot), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	config := fmt.Sprintf(`{"enabled": false, "ca": %q, "root": %q, "state": "state", "product": %q, "hardware": %q,
"factory": {"version": "1.0.0"}, "slots": {"a": "a.img", "b": "b.img"}, "slot_size": %d, "bootloader": {"type": "file", "dir": "boot"}}
`, w.ca, w.at("repo", "metadata", "1.root.json"), product, hardware, gib+gib/4)
	if err := os.WriteFile(filepath.Join(dir, "agent.json"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return dir
}

// install runs the agent and returns the most memory that it had resident, in bytes.
func (w *world) install(b *testing.B, device, url string) int64 {
	b.Helper()
	cmd := exec.Command(filepath.Join(w.bin, "fairlead-agent"), "--config", filepath.Join(device, "agent.json"), "install", url)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var peak int64
	for {
		select {
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 4 { // 4: installed, reboot needed
				b.Fatalf("%v\n%s", err, log.String())
			}
			return peak
		case <-tick.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

// highWater is VmHWM of a process. What wait4 reports will not do: it counts the memory of the parent before the exec.
func highWater(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
