package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// heldPackages are unpacked for arm64, never run.
const heldPackages = "libc6 libc-bin bash coreutils util-linux systemd libsystemd0 udev libudev1 libsystemd-shared perl-base perl " +
	"perl-modules-5.36 libperl5.36 python3.11 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libpython3.11 libssl3 openssl " +
	"openssh-server openssh-client git curl libcurl4 libcurl3-gnutls libgnutls30 libxml2 libexpat1 libsqlite3-0 sqlite3 nginx nginx-common " +
	"libglib2.0-0 libkrb5-3 libstdc++6 rsync vim-tiny busybox bluez wpasupplicant avahi-daemon docker.io containerd runc nodejs libnode108 " +
	"libc-ares2 postgresql-15 postgresql-client-15 libpq5 bind9-libs dnsmasq-base gnupg gpg ffmpeg libavcodec59 libavformat59 libavutil57 " +
	"libtiff6 libwebp7 tzdata ca-certificates"

func buildHeld(b testing.TB, c cache, dir string) {
	for _, side := range []string{"old", "new"} {
		makeImages(b, heldTree(b, c, side), dir, side, 1024)
	}
}

func heldTree(b testing.TB, c cache, side string) string {
	return c.folder(b, filepath.Join("trees", "held-"+side), func(dir string) {
		need(b, "apt-get", "dpkg-deb")
		needRoot(b, "unpacking with owners")
		for _, deb := range fetchHeld(b, sources(side == "new")) {
			run(b, "dpkg-deb", "-x", deb, dir)
		}
		trim(b, dir)
	})
}

// fetchHeld downloads the packages with an apt that knows nothing of this machine.
func fetchHeld(b testing.TB, sources string) []string {
	b.Helper()
	root := b.TempDir()
	for _, sub := range []string{"etc/preferences.d", "state/lists/partial", "cache/archives/partial", "debs"} {
		must(b, os.MkdirAll(filepath.Join(root, sub), 0o755))
	}
	must(b, os.WriteFile(filepath.Join(root, "etc/sources.list"), []byte(sources), 0o644))
	must(b, os.WriteFile(filepath.Join(root, "state/status"), nil, 0o644))
	options := []string{"-q", "-o", "Dir=" + root, "-o", "Dir::State=" + root + "/state", "-o", "Dir::State::status=" + root + "/state/status",
		"-o", "Dir::Cache=" + root + "/cache", "-o", "Dir::Etc=" + root + "/etc", "-o", "Dir::Etc::sourceparts=/dev/null",
		"-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64", "-o", "Acquire::Languages=none", "-o", "APT::Sandbox::User=root"}
	run(b, append(append([]string{"apt-get"}, options...), "update")...)
	var kernel string
	for line := range strings.Lines(output(b, append(append([]string{"apt-cache"}, options...), "depends", "linux-image-arm64")...)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			kernel = name
		}
	}
	download := append(append(append([]string{"apt-get"}, options...), "download", kernel), strings.Fields(heldPackages)...)
	measure(b, job{args: download, dir: filepath.Join(root, "debs")})
	debs, err := filepath.Glob(filepath.Join(root, "debs", "*.deb"))
	must(b, err)
	return debs
}
