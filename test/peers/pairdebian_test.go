package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	debianMain     = "http://deb.debian.org/debian"
	debianSecurity = "http://deb.debian.org/debian-security"
	// signedBy is where Debian keeps the keys of its archive.
	signedBy = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
)

// debianPackages are what a gateway might have.
const debianPackages = "linux-image-amd64,python3,perl,git,openssl,openssh-server,nginx-light,systemd,systemd-sysv,udev,dbus,sqlite3,rauc,curl," +
	"ca-certificates,iproute2,iptables,nftables,e2fsprogs,cryptsetup-bin,jq,less,vim-tiny,rsync,tcpdump,gnupg,busybox,bluez," +
	"wpasupplicant,avahi-daemon,zstd,xz-utils,lua5.4"

// sources is a sources.list of Debian 12: as released, or with what came after.
func sources(updates bool) string {
	list := "deb " + signedBy + debianMain + " bookworm main\n"
	if updates {
		list += "deb " + signedBy + debianMain + " bookworm-updates main\ndeb " + signedBy + debianSecurity + " bookworm-security main\n"
	}
	return list
}

func buildDebian(b testing.TB, c cache, dir, new string) {
	trees := debianTrees(b, c)
	makeImages(b, filepath.Join(trees, "main"), dir, "old", 768)
	makeImages(b, filepath.Join(trees, new), dir, "new", 768)
}

// debianTrees are three root filesystems: main as released; month, with all updates but the kernel's; year, with all.
func debianTrees(b testing.TB, c cache) string {
	return c.folder(b, filepath.Join("trees", "debian"), func(dir string) {
		need(b, "debootstrap")
		needRoot(b, "debootstrap")
		main, month, year := filepath.Join(dir, "main"), filepath.Join(dir, "month"), filepath.Join(dir, "year")
		run(b, "debootstrap", "--variant=minbase", "--arch=amd64", "--include="+debianPackages, "bookworm", main, debianMain)
		must(b, os.WriteFile(filepath.Join(main, "etc/apt/sources.list"), []byte(sources(true)), 0o644))
		must(b, os.WriteFile(filepath.Join(main, "usr/sbin/policy-rc.d"), []byte("#!/bin/sh\nexit 101\n"), 0o755)) // starts no service
		run(b, "cp", "-a", main, month)
		run(b, "chroot", month, "apt-mark", "hold", "linux-image-amd64")
		upgrade(b, month)
		run(b, "cp", "-a", month, year)
		run(b, "chroot", year, "apt-mark", "unhold", "linux-image-amd64")
		upgrade(b, year)
		run(b, "chroot", year, "dpkg", "--purge", kernelPackage(b, main))
		for _, tree := range []string{main, month, year} {
			trim(b, tree)
		}
	})
}

func upgrade(b testing.TB, tree string) {
	b.Helper()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	measure(b, job{env: env, args: []string{"chroot", tree, "apt-get", "-q", "update"}})
	measure(b, job{env: env, args: []string{"chroot", tree, "apt-get", "-q", "-y", "--no-install-recommends",
		"-o", "Dpkg::Options::=--force-confold", "dist-upgrade"}})
}

// kernelPackage is the one kernel of a tree.
func kernelPackage(b testing.TB, tree string) string {
	b.Helper()
	kernels, _ := filepath.Glob(filepath.Join(tree, "boot/vmlinuz-*"))
	if len(kernels) != 1 {
		b.Fatalf("%s has the kernels %q: want one", tree, kernels)
	}
	return "linux-image-" + strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
}

// ballast is what devices leave out, or what differs without a reason.
var ballast = []string{
	"usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "usr/share/lintian/*",
	"lib/modules/*/kernel/drivers/gpu", "lib/modules/*/kernel/drivers/media", "lib/modules/*/kernel/drivers/infiniband",
	"lib/modules/*/kernel/drivers/scsi", "lib/modules/*/kernel/drivers/staging", "lib/modules/*/kernel/sound",
	"boot/initrd*", "var/lib/apt/lists/*", "var/cache/*", "var/log/*", "run/*", "tmp/*", "dev/*",
	"var/lib/dpkg/*-old", "var/lib/systemd/catalog", "etc/machine-id", "etc/ssh/ssh_host_*", "usr/sbin/policy-rc.d",
}

func trim(b testing.TB, tree string) {
	b.Helper()
	for _, pattern := range ballast {
		found, err := filepath.Glob(filepath.Join(tree, pattern))
		must(b, err)
		for _, path := range found {
			must(b, os.RemoveAll(path))
		}
	}
}
