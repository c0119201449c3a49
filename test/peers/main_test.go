package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian keeps mke2fs and losetup
	os.Setenv("LC_ALL", "C")
	os.Exit(m.Run())
}

// packages of Debian, by a tool that each has.
var packages = map[string]string{
	"apt-get": "apt", "bsdiff": "bsdiff", "bspatch": "bsdiff", "casync": "casync", "cpio": "cpio", "curl": "curl", "dbus-daemon": "dbus-daemon",
	"debootstrap": "debootstrap", "debugfs": "e2fsprogs", "dpkg-deb": "dpkg", "dumpe2fs": "e2fsprogs", "ip": "iproute2", "losetup": "mount",
	"mke2fs": "e2fsprogs", "mkfs.erofs": "erofs-utils", "mksquashfs": "squashfs-tools", "nginx": "nginx-light",
	"openssl": "openssl", "rauc": "rauc",
	"swupdate": "swupdate", "time": "time", "wrk": "wrk", "xdelta3": "xdelta3", "zstd": "zstd",
}

// need fails, and says which packages help, unless all tools are there.
func need(b testing.TB, tools ...string) {
	b.Helper()
	var missing, install []string
	for _, tool := range append(tools, "time") {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
			install = append(install, packages[tool])
		}
	}
	if len(missing) > 0 {
		slices.Sort(install)
		b.Fatalf("this machine has no %s: apt-get install %s", strings.Join(missing, ", "), strings.Join(slices.Compact(install), " "))
	}
}

func needRoot(b testing.TB, what string) {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Fatalf("%s takes root's rights: run the benchmark as root", what)
	}
}

// version is the release of a tool as Debian names it.
func version(b testing.TB, tool string) string {
	b.Helper()
	need(b, tool)
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", packages[tool]).Output()
	if path, _ := exec.LookPath(tool); err != nil || strings.HasPrefix(path, "/usr/local/") {
		sum, _ := digest(path)
		return fmt.Sprintf("(not Debian's) %.12s", sum)
	}
	return string(out)
}

// once runs f once, whatever the benchmark time asked for: each run takes seconds to minutes.
func once(b *testing.B, f func()) {
	b.Helper()
	for done := false; b.Loop(); done = true {
		if !done {
			f()
		}
	}
	b.ReportMetric(0, "ns/op")
}

// fairlead builds Fairlead's tools and returns the folder that they are in.
func fairlead(b testing.TB) string {
	b.Helper()
	bin := b.TempDir()
	for _, pkg := range []string{"signer/cmd/fairlead-sign", "tufrepo/cmd/fairlead-repo", "agent/cmd/fairlead-agent"} {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w",
			"-o", filepath.Join(bin, filepath.Base(pkg)), "github.com/fairlead/fairlead/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	return bin
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// say tells a person who waits what takes so long.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "# "+format+"\n", args...) }
