//go:build long

package boot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead/fairlead/agent/boot"
)

const envSize = 4096

// uenv is a copy of an environment with a text of lines.
func uenv(flag byte, text string) []byte {
	b := make([]byte, envSize)
	b[4] = flag
	copy(b[5:], strings.ReplaceAll(text, "\n", "\x00"))
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[5:]))
	return b
}

// ubootRows are every state in either copy; every turn of the flag; torn ones, lost ones, and what people may have made.
func ubootRows() []row {
	var all []row
	add := func(name string, first, second []byte) { all = append(all, row{name, [2][]byte{first, second}}) }
	torn := func(b []byte) []byte {
		cut := 512 * (1 + rand.New(rand.NewPCG(1, uint64(b[0]))).IntN(7))
		copy(b[100:], bytes.Repeat([]byte{0xff}, cut))
		return b
	}
	for i, w := range words {
		next := letters(words[(i+1)%len(words)])
		flag := byte(i * 12)
		add(w+" twice", uenv(flag, letters(w)), uenv(flag-1, letters(w)))
		add(w+" is second", uenv(flag, next), uenv(flag+1, letters(w)))
		add(w+" is first", uenv(flag+1, letters(w)), uenv(flag, next))
		add(w+" behind a torn one", torn(uenv(flag+1, next)), uenv(flag, letters(w)))
		add(w+" before a torn one", uenv(flag, letters(w)), torn(uenv(flag+1, next)))
	}
	for _, f := range []byte{0, 1, 8, 9, 10, 15, 16, 126, 127, 128, 153, 154, 253, 254, 255} {
		add(fmt.Sprintf("flag %d first", f), uenv(f, letters("ab2gg")), uenv(f-1, letters("an0gn")))
		add(fmt.Sprintf("flag %d second", f), uenv(f-1, letters("an0gn")), uenv(f, letters("ab2gg")))
		add(fmt.Sprintf("flag %d twice", f), uenv(f, letters("ab2gg")), uenv(f, letters("an0gn")))
	}
	blank, ones := make([]byte, envSize), bytes.Repeat([]byte{0xff}, envSize)
	add("new", blank, blank)
	add("erased", ones, ones)
	add("both torn", torn(uenv(3, letters("bn0gg"))), torn(uenv(4, letters("bn0gg"))))
	for _, last := range []string{"a", "b", "c"} {
		l := "fl_last=" + last + "\n"
		add("last resort was "+last, uenv(1, l), blank)
		add("last resort was "+last+", second", uenv(255, "fl_last=a\n"), uenv(0, l))
	}
	for _, w := range []string{"aa1gg", "ab8gg", "ab1gn", "an1gn", "cn0gg", "an0nn"} {
		add("impossible "+w, uenv(1, letters(w)), uenv(0, letters("an0gn")))
	}
	add("twice the tries", uenv(1, "fl_tries=7\n"+letters("ab2gg")), blank)
	add("foreign variables", uenv(1, "colour=red\n"+letters("ab2gg")+"bootcmd=reset\n"), blank)
	return all
}

// TestUBootDoesAsTheModel runs the script in U-Boot for a virtual arm64 board, on a disk with all rows.
func TestUBootDoesAsTheModel(t *testing.T) {
	if !need(t, "qemu-system-arm u-boot-qemu u-boot-tools e2fsprogs gdisk", "qemu-system-aarch64", "mkimage", "mke2fs", "sgdisk") {
		return
	}
	rows := ubootRows()
	real := runUBoot(t, rows)
	counted := 0
	for i, r := range rows {
		disk := filepath.Join(t.TempDir(), "disk")
		must(t, os.WriteFile(disk, append(bytes.Clone(r.copies[0]), r.copies[1]...), 0o644))
		e, err := boot.OpenUBoot([2]boot.Place{{Path: disk}, {Path: disk, Offset: envSize}}, envSize, boot.EnvOptions{})
		must(t, err)
		slot, _ := e.Boot()
		after, err := os.ReadFile(disk)
		must(t, err)
		if real[i].slot != slot {
			t.Errorf("%s: U-Boot starts slot %q, the model %q", r.name, real[i].slot, slot)
		}
		for n := range r.copies {
			got, want := real[i].copies[n], after[n*envSize:][:envSize]
			if plain(got) != plain(want) {
				t.Errorf("%s: U-Boot leaves in copy %d\n%q, the model\n%q", r.name, n, plain(got), plain(want))
			}
			if !bytes.Equal(got, r.copies[n]) {
				counted++
			}
		}
	}
	t.Logf("%d environments, %d copies changed", len(rows), counted)
	if counted < 100 {
		t.Error("hardly anything was written: the test is blind")
	}
}

// plain is a copy in which the order of variables plays no part. U-Boot sorts them.
func plain(b []byte) string {
	if crc32.ChecksumIEEE(b[5:]) != binary.LittleEndian.Uint32(b) {
		return "torn: " + string(b)
	}
	text, _, _ := strings.Cut(string(b[5:]), "\x00\x00")
	all := strings.Split(text, "\x00")
	slices.Sort(all)
	return fmt.Sprint(b[4], all)
}

// firstRow is the block of the disk where the first row begins.
const firstRow = 0x8000

// runUBoot runs the script over all rows, one after the other.
func runUBoot(t *testing.T, rows []row) []outcome {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	var cmd strings.Builder
	cmd.WriteString("setenv flx_read 'nvme read'\nsetenv flx_write 'nvme write'\nsetenv flx_cnt 8\nsetenv flx_size 1000\nsetenv flx_ram 50000000\n")
	disk := make([]byte, firstRow*512)
	for i, r := range rows {
		disk = append(append(disk, r.copies[0]...), r.copies[1]...)
		fmt.Fprintf(&cmd, "setenv flx_blk0 %x\nsetenv flx_blk1 %x\n%s\necho FL-%d-is-${fl_slot}-\n", firstRow+16*i, firstRow+16*i+8, script(t, "uboot: choose"), i)
	}
	cmd.WriteString("poweroff\n")
	must(t, os.WriteFile(at("disk"), append(disk, make([]byte, 1<<20)...), 0o644))
	must(t, os.WriteFile(at("boot.cmd"), []byte(cmd.String()), 0o644))
	must(t, os.Mkdir(at("fs"), 0o755))
	run(t, time.Minute, "mkimage", "-A", "arm64", "-T", "script", "-d", at("boot.cmd"), at("fs/boot.scr"))
	run(t, time.Minute, "sgdisk", "-Z", "-n", "1:2048:30000", "-A", "1:set:2", at("disk"))
	run(t, time.Minute, "mke2fs", "-q", "-t", "ext2", "-d", at("fs"), "-E", "offset=1048576", at("disk"), "8192")
	code, err := os.ReadFile("/usr/lib/u-boot/qemu_arm64/u-boot.bin")
	must(t, err)
	must(t, os.WriteFile(at("code"), append(code, make([]byte, 64<<20-len(code))...), 0o644))
	must(t, os.WriteFile(at("vars"), make([]byte, 64<<20), 0o644))
	out := run(t, 5*time.Minute, "qemu-system-aarch64", "-M", "virt", "-accel", "tcg", "-cpu", "cortex-a53", "-m", "512", "-nodefaults",
		"-display", "none", "-serial", "stdio", "-no-reboot",
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+at("code"), "-drive", "if=pflash,unit=1,format=raw,file="+at("vars"),
		"-drive", "if=none,id=d0,format=raw,file="+at("disk"), "-device", "nvme,drive=d0,serial=d0")
	after, err := os.ReadFile(at("disk"))
	must(t, err)
	var all []outcome
	for i := range rows {
		from := after[firstRow*512+2*envSize*i:]
		o := outcome{copies: [2][]byte{from[:envSize], from[envSize : 2*envSize]}}
		if m := regexp.MustCompile(fmt.Sprintf(`FL-%d-is-([^-]*)-`, i)).FindStringSubmatch(out); m != nil {
			o.slot = boot.Slot(m[1])
		}
		all = append(all, o)
	}
	if os.Getenv("BOOT_LOG") != "" {
		t.Log(out)
	}
	return all
}
