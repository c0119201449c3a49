package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestProgramPages: only pages of files that nobody has changed are given back.
func TestProgramPages(t *testing.T) {
	mapping1 := func(line, anonymous string) string {
		return line + "\nSize:               1024 kB\nRss:                 512 kB\nAnonymous:             " + anonymous + " kB\nVmFlags: rd ex mr mw me\n"
	}
	smaps := mapping1("00400000-0089e000 r-xp 00000000 08:02 1234                               /usr/bin/fairlead-agent", "0") +
		mapping1("0089e000-00d00000 r--p 0049e000 08:02 1234                               /usr/bin/fairlead-agent", "0") +
		mapping1("00d00000-00e00000 r--p 0089e000 08:02 1234                               /usr/bin/fairlead-agent", "4") + // relocated
		mapping1("00e00000-00f00000 rw-p 00900000 08:02 1234                               /usr/bin/fairlead-agent", "0") +
		mapping1("00f00000-01000000 r-xs 00000000 08:02 1234                               /usr/bin/shared", "0") +
		mapping1("c000000000-c000400000 rw-p 00000000 00:00 0", "0") +
		mapping1("7ffd1000-7ffd2000 r-xp 00000000 00:00 0                                  [vdso]", "0") +
		"junk\nzz-yy r-xp 0 0 0 /x\nAnonymous: 0 kB\n"
	want := []mapping{{0x400000, 0x89e000}, {0x89e000, 0xd00000}}
	if got := programPages(strings.NewReader(smaps)); !reflect.DeepEqual(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestSpareMemory: the program runs on without them.
func TestSpareMemory(t *testing.T) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(programPages(f)) == 0 {
		t.Error("no page of this program was found")
	}
	spareMemory()
	if got := strings.Repeat("a", 3); got != "aaa" {
		t.Error(got)
	}
}
