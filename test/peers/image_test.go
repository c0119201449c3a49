package peers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What would differ from one image to the next without a file that differs.
const (
	imageTime = 1700000000
	imageUUID = "3f5f1a2c-6a1e-4b0e-9d53-7c2f0a51b9d4"
	imageSeed = "8d2c7a10-55b1-4b8e-a0e4-0c6b7a1e9f33"
)

// makeImages packs a folder into an image of every format: side, "old" or "new", and the format are its name in dir.
func makeImages(b testing.TB, tree, dir, side string, ext4MiB int) {
	b.Helper()
	need(b, "mke2fs", "debugfs", "dumpe2fs", "mkfs.erofs", "mksquashfs")
	say("packing %s into %s, 4 formats", filepath.Base(tree), dir)
	must(b, setTimes(tree))
	at := filepath.Join(dir, side)
	makeExt4(b, tree, at+".ext4", ext4MiB)
	when := strconv.Itoa(imageTime)
	erofs := []string{"mkfs.erofs", "-x-1", "-T" + when, "-U" + imageUUID, "--quiet"}
	run(b, append(erofs, at+".erofs", tree)...)
	run(b, append(erofs, "-zlz4hc,9", at+".erofs-lz4", tree)...)
	run(b, "mksquashfs", tree, at+".sqfs", "-comp", "zstd", "-Xcompression-level", "15", "-b", "128K",
		"-noappend", "-quiet", "-no-progress", "-all-time", when, "-mkfs-time", when)
}

// makeExt4 also sets what mke2fs takes from the folder and no one can set there: when an inode was changed.
func makeExt4(b testing.TB, tree, image string, mib int) {
	b.Helper()
	must(b, os.WriteFile(image, nil, 0o644))
	must(b, os.Truncate(image, int64(mib)<<20))
	env := []string{fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", imageTime)}
	measure(b, job{env: env, args: []string{"mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096", "-U", imageUUID,
		"-E", "hash_seed=" + imageSeed + ",lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d", tree, image}})
	var script strings.Builder
	used := usedInodes(b, image)
	for inode := 2; inode <= used; inode++ {
		fmt.Fprintf(&script, "sif <%d> ctime @%d\nsif <%d> atime @%d\n", inode, imageTime, inode, imageTime)
	}
	file := filepath.Join(b.TempDir(), "debugfs")
	must(b, os.WriteFile(file, []byte(script.String()), 0o600))
	measure(b, job{env: env, args: []string{"debugfs", "-w", "-f", file, image}})
}

// usedInodes of an image that mke2fs has filled: it gives them out in order.
func usedInodes(b testing.TB, image string) int {
	b.Helper()
	n := map[string]int{}
	for line := range strings.Lines(output(b, "dumpe2fs", "-h", image)) {
		key, value, _ := strings.Cut(line, ":")
		n[key], _ = strconv.Atoi(strings.TrimSpace(value))
	}
	used := n["Inode count"] - n["Free inodes"]
	if used <= 0 {
		b.Fatalf("%s: dumpe2fs tells no number of inodes", image)
	}
	return used
}

func setTimes(tree string) error {
	at := []unix.Timespec{{Sec: imageTime}, {Sec: imageTime}}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, at, unix.AT_SYMLINK_NOFOLLOW)
	})
}
