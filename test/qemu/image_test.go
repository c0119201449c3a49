package qemu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Where the partitions are, in bytes.
const (
	envAt    = 4 << 20
	envSize  = 1 << 20
	slotAAt  = envAt + envSize
	slotSize = 32 << 20
	slotBAt  = slotAAt + slotSize
	dataAt   = slotBAt + slotSize
	dataSize = 16 << 20
	diskSize = dataAt + dataSize
)

// partOf is what lies at a place of the disk.
func partOf(off int64) string {
	switch {
	case off < envAt:
		return "boot"
	case off < slotAAt:
		return "environment"
	case off < slotBAt:
		return "slot a"
	case off < dataAt:
		return "slot b"
	}
	return "data"
}

// payload is how much of a release is its own, in bytes: all releases have kernel and agent in common.
const payload = 2 << 20

// faults of a release.
const (
	healthy = ""
	garbage = "garbage" // the kernel is none
	broken  = "broken"  // the kernel is one, but its compressed part is damaged: it halts before it has begun
	panics  = "panic"   // the kernel finds no first process
	hangs   = "hang"    // the first process does nothing
	idles   = "idle"    // the agent does nothing
	offline = "nonet"   // no driver for the network card
)

// parts are what all images are made of.
type parts struct {
	kernel, testinit, agent, fsck []byte
	modules                       string // folder of the kernel's drivers
}

// slotImage makes the file system of a release, in a file.
func (p parts) slotImage(t *testing.T, dir, version, fault string) []byte {
	t.Helper()
	tree := filepath.Join(dir, "tree-"+version)
	kernel, agent := p.kernel, p.agent
	switch fault {
	case garbage:
		kernel = bytes.Repeat([]byte("no kernel at all"), 1<<16)
	case broken:
		kernel = bytes.Clone(kernel)
		for i := range 1 << 16 {
			kernel[len(kernel)/2+i] ^= 0x55
		}
	case idles:
		agent = p.testinit
	}
	own := make([]byte, payload)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%32s", version)))).Read(own)
	for name, data := range map[string][]byte{
		"vmlinuz": kernel, "initrd.gz": initrd(t, p.testinit, p.modules, fault), "usr/bin/fairlead-agent": agent,
		"usr/share/own": own, "sbin/e2fsck.static": p.fsck, "etc/os-release": []byte("VERSION_ID=" + version + "\n"),
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(tree, name), data, 0o755))
	}
	must(t, filepath.WalkDir(tree, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, imageTime, imageTime)
	}))
	return fileSystem(t, tree, slotSize, "ext4", "-b", "4096", "-N", "64", "-O", "^has_journal")
}

// imageTime stamps every file, so that equal trees make equal images.
var imageTime = time.Unix(1_700_000_000, 0)

// fileSystem makes one out of a folder.
func fileSystem(t *testing.T, tree string, size int64, kind string, more ...string) []byte {
	t.Helper()
	const id = "6c61756e-6368-4661-9c65-616400000002"
	path := tree + ".img"
	cmd := exec.Command("mke2fs", append(append([]string{"-q", "-F", "-t", kind, "-m", "0", "-U", id, "-E", "root_owner=0:0,hash_seed=" + id},
		more...), "-d", tree, path, fmt.Sprintf("%dk", size>>10))...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", imageTime.Unix()))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("making %s: %v\n%s", path, err, out)
	}
	image, err := os.ReadFile(path)
	must(t, err)
	must(t, os.RemoveAll(tree))
	return image
}

// environment is the bootloader's partition as the factory makes it, empty or with a first state.
func environment(t *testing.T, dir string) []byte {
	tree := filepath.Join(dir, "env")
	must(t, os.MkdirAll(filepath.Join(tree, "fairlead"), 0o755))
	for _, name := range []string{"env.0", "env.1"} {
		block := []byte("# GRUB Environment Block\n" + delivered)
		block = append(block, bytes.Repeat([]byte("#"), 1024-len(block))...)
		must(t, os.WriteFile(filepath.Join(tree, "fairlead", name), block, 0o644))
	}
	return fileSystem(t, tree, envSize, "ext2", "-b", "1024")
}

// kernelLine is for the kernel: as little as can be of what an emulated PC without other drivers does not need.
const kernelLine = "console=ttyS0 quiet panic=1 mitigations=off random.trust_cpu=on tsc=reliable nokaslr ipv6.disable=1 cryptomgr.notests " +
	"initcall_blacklist=load_system_certificate_list,cubictcp_register,init_kprobe_trace,crypto_kdf108_init,init_encrypted"

// startWatchdog gives the watchdog's registers a place, sets both of its stages, and starts it. On trial it has less patience.
const startWatchdog = `if [ "$1" = "$fl_committed" ]; then set dog=0x%x; else set dog=0x%x; fi
  setpci -d 8086:25ab 10.l=e0000000
  setpci -d 8086:25ab 4.w=2
  setpci -d 8086:25ab 60.w=3
  write_word 0xe000000c 0x80
  write_word 0xe000000c 0x86
  write_dword 0xe0000000 $dog
  write_word 0xe000000c 0x80
  write_word 0xe000000c 0x86
  write_dword 0xe0000004 0x10
  setpci -d 8086:25ab 68.b=2
  echo FL start $1
  linux16 /vmlinuz`

// bootSectors are the master boot record and GRUB behind it. On trial the watchdog waits for so long.
func bootSectors(t *testing.T, dir string, watchdog time.Duration) []byte {
	at := func(name string) string { return filepath.Join(dir, name) }
	start := strings.NewReplacer("hd0,gpt3", "hd0,msdos2", "hd0,gpt4", "hd0,msdos3", "initrd /initrd.gz", "initrd16 /initrd.gz",
		"linux /vmlinuz", fmt.Sprintf(startWatchdog, patient.Milliseconds(), watchdog.Milliseconds())).Replace(script(t, "grub: start"))
	cfg := fmt.Sprintf("serial --unit=0\nterminal_output serial\nset fl_dir=(hd0,msdos1)/fairlead\nset fl_line='%s'\n", kernelLine) +
		script(t, "grub: choose") + start
	must(t, os.WriteFile(at("grub.cfg"), []byte(cfg), 0o644))
	output(t, exec.Command("grub-mkstandalone", "-O", "i386-pc", "-o", at("core.img"), "--modules=part_msdos biosdisk ext2",
		"--install-modules=part_msdos biosdisk ext2 loadenv normal linux linux16 test echo serial terminal reboot true setpci memrw",
		"--locales=", "--fonts=", "--themes=", "boot/grub/grub.cfg="+at("grub.cfg")))
	core, err := os.ReadFile(at("core.img"))
	must(t, err)
	mbr, err := os.ReadFile("/usr/lib/grub/i386-pc/boot.img")
	must(t, err)
	mbr = append(mbr[:440:440], make([]byte, 72)...)
	for i, p := range [][2]uint32{{envAt, envSize}, {slotAAt, slotSize}, {slotBAt, slotSize}, {dataAt, dataSize}} {
		entry := mbr[446+16*i:]
		entry[4] = 0x83
		binary.LittleEndian.PutUint32(entry[8:], p[0]/512)
		binary.LittleEndian.PutUint32(entry[12:], p[1]/512)
	}
	mbr[510], mbr[511] = 0x55, 0xaa
	return append(mbr, core...)
}
