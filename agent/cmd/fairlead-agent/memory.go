package main

import (
	"bufio"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory: a device has little, and an image is much. What the buffers of an installation take lies outside of Go's heap.
const (
	memoryLimit = 32 << 20 // bytes, unless GOMEMLIMIT says otherwise
	gcPercent   = 50       // unless GOGC says otherwise
)

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// spareMemory gives back, before an installation, what only the time before it needed: garbage, and the pages of the
// program's file that its start has touched. What of them is needed again is found in the page cache.
func spareMemory() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range programPages(f) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

type mapping struct{ from, to uintptr }

// programPages finds the mappings of a list in the form of /proc/PID/smaps that show a file as it is: private, not
// writable, and with no page of their own. To forget any other would lose what was written to it.
func programPages(smaps io.Reader) (found []mapping) {
	var now mapping
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			// 00400000-0089e000 r-xp 00000000 08:02 1234 /usr/bin/fairlead-agent
			from, to, _ := strings.Cut(fields[0], "-")
			a, errA := strconv.ParseUint(from, 16, 64)
			b, errB := strconv.ParseUint(to, 16, 64)
			now = mapping{}
			if len(fields) == 6 && strings.HasPrefix(fields[5], "/") && (fields[1] == "r-xp" || fields[1] == "r--p") && errA == nil && errB == nil {
				now = mapping{uintptr(a), uintptr(b)}
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && now.to > now.from:
			found = append(found, now)
		}
	}
	return found
}
