//go:build long

package boot

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kernel finds Debian's cloud kernel, which has everything that the disk needs built in.
func kernel(t *testing.T) string {
	all, _ := filepath.Glob("../../bin/qemu/boot/vmlinuz-*-cloud-amd64")
	if len(all) == 0 {
		t.Log("NOT TESTED: no kernel: run test/qemu/debian.sh, which unpacks Debian's into bin/qemu")
		return ""
	}
	return all[len(all)-1]
}

// TestGRUBBootsADisk boots a disk with two slots under an emulator, from an empty environment: the first release commits itself,
// asks for a trial of the other slot, and what is there commits, or never does, or does not even start.
func TestGRUBBootsADisk(t *testing.T) {
	if !need(t, "qemu-system-x86 grub-pc-bin grub-common e2fsprogs cpio", "qemu-system-x86_64", "grub-mkstandalone", "mke2fs", "cpio") {
		return
	}
	k := kernel(t)
	if k == "" {
		return
	}
	dir := t.TempDir()
	parts := bootParts(t, dir, k)
	const lost, first = "FL first: {Running:a Committed:a Trial: TriesLeft:0 A:{Bootable:true Failed:false} B:{Bootable:false Failed:false} Lost:true}",
		"FL first: {Running:a Committed:a Trial: TriesLeft:0 A:{Bootable:true Failed:false} B:{Bootable:false Failed:false} Lost:false}"
	const back = "FL first: {Running:a Committed:a Trial: TriesLeft:0 A:{Bootable:true Failed:false} B:{Bootable:false Failed:true} Lost:false}"
	trial := func(release, tries string) string {
		return "FL " + release + ": {Running:b Committed:a Trial:b TriesLeft:" + tries + " A:{Bootable:true Failed:false} B:{Bootable:true Failed:false} Lost:false}"
	}
	for release, want := range map[string][]string{
		"good":   {lost, first, trial("good", "1"), "FL good: {Running:b Committed:b Trial: TriesLeft:0 A:{Bootable:true Failed:false} B:{Bootable:true Failed:false} Lost:false}", "FL at rest"},
		"bad":    {lost, first, trial("bad", "1"), trial("bad", "0"), back, "FL at rest"},
		"noinit": {lost, first, back, "FL at rest"},
	} {
		t.Run(release, func(t *testing.T) {
			start := time.Now()
			out := bootDisk(t, parts, release)
			var got []string
			for line := range strings.Lines(out) {
				if at := strings.Index(line, "FL "); at >= 0 {
					got = append(got, strings.TrimSpace(line[at:]))
				}
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("it says\n%s\nwant\n%s\n\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), out)
			}
			t.Logf("%d starts in %.0f s", strings.Count(out, "Linux version"), time.Since(start).Seconds())
		})
	}
}

// bootParts makes what all disks have: GRUB, the environment, and a slot for each release.
func bootParts(t *testing.T, dir, kernel string) string {
	at := func(name string) string { return filepath.Join(dir, name) }
	run(t, 5*time.Minute, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", at("init"), "./testinit")
	for _, release := range []string{"first", "good", "bad", "noinit"} {
		root, slot := at("root-"+release), at("slot-"+release)
		for _, d := range []string{root + "/proc", root + "/dev", root + "/env", slot} {
			must(t, os.MkdirAll(d, 0o755))
		}
		must(t, os.WriteFile(root+"/release", []byte(release), 0o644))
		if release != "noinit" {
			run(t, time.Minute, "cp", at("init"), root+"/init")
		}
		run(t, time.Minute, "sh", "-c", "mknod "+root+"/dev/console c 5 1 && cd "+root+" && find . | cpio -o -H newc --quiet | gzip -1 >"+slot+"/initrd.gz")
		run(t, time.Minute, "cp", kernel, slot+"/vmlinuz")
		run(t, time.Minute, "mke2fs", "-q", "-t", "ext2", "-d", slot, slot+".img", "30M")
	}
	must(t, os.MkdirAll(at("env/fairlead"), 0o755))
	for _, name := range []string{"env/fairlead/env.0", "env/fairlead/env.1"} {
		run(t, time.Minute, "grub-editenv", at(name), "create")
	}
	run(t, time.Minute, "mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", at("env"), at("env.img"), "1M")
	start := strings.NewReplacer("hd0,gpt3", "hd0,msdos2", "hd0,gpt4", "hd0,msdos3").Replace(script(t, "grub: start"))
	cfg := "serial --unit=0\nterminal_output serial\nset fl_dir=(hd0,msdos1)/fairlead\nset fl_line='console=ttyS0 panic=1 mitigations=off random.trust_cpu=on'\n" +
		script(t, "grub: choose") + start
	must(t, os.WriteFile(at("grub.cfg"), []byte(cfg), 0o644))
	mods := "part_msdos biosdisk ext2 loadenv normal linux test echo serial terminal reboot true"
	run(t, time.Minute, "grub-mkstandalone", "-O", "i386-pc", "-o", at("core.img"), "--install-modules="+mods, "--modules=part_msdos biosdisk", "--locales=", "--fonts=", "--themes=", "boot/grub/grub.cfg="+at("grub.cfg"))
	return dir
}

// bootDisk boots a new disk with a release in slot b until it powers itself off, and returns what came over the serial line.
func bootDisk(t *testing.T, dir, release string) string {
	at := func(name string) string { return filepath.Join(dir, name) }
	disk := at("disk-" + release)
	mbr, err := os.ReadFile("/usr/lib/grub/i386-pc/boot.img")
	must(t, err)
	mbr = append(mbr[:440:440], make([]byte, 72)...)
	for i, p := range [][2]uint32{{8192, 2048}, {10240, 61440}, {71680, 61440}} {
		entry := mbr[446+16*i:]
		entry[4] = 0x83
		binary.LittleEndian.PutUint32(entry[8:], p[0])
		binary.LittleEndian.PutUint32(entry[12:], p[1])
	}
	mbr[510], mbr[511] = 0x55, 0xaa
	must(t, os.WriteFile(at("mbr"), mbr, 0o644))
	run(t, time.Minute, "sh", "-ec", `cd "$1"; truncate -s 72M "$2"
dd if=mbr of="$2" conv=notrunc status=none
dd if=core.img of="$2" bs=512 seek=1 conv=notrunc status=none
dd if=env.img of="$2" bs=512 seek=8192 conv=notrunc status=none
dd if=slot-first.img of="$2" bs=512 seek=10240 conv=notrunc status=none
dd if="slot-$3.img" of="$2" bs=512 seek=71680 conv=notrunc status=none`, "sh", dir, disk, release)
	return run(t, 3*time.Minute, "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "qemu64", "-m", "512", "-smp", "1", "-nodefaults",
		"-display", "none", "-serial", "stdio", "-drive", "if=none,id=d0,format=raw,file="+disk, "-device", "nvme,drive=d0,serial=d0,bootindex=0")
}
