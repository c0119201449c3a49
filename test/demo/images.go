package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const maxFile = 6 << 20 // bytes; a larger file would crowd out the others

// imageTime stamps every file, so that equal trees make equal images.
var imageTime = time.Unix(1_700_000_000, 0)

// rootfs describes one release's root filesystem. Releases share most of their files, as releases do: each has its own
// build of the agent, its own os-release, and a package or two that the other lacks.
type rootfs struct {
	version string
	drop    int   // every 37th file with this remainder is left out, as a removed package would be
	size    int64 // bytes
}

// treeSize is how many bytes of files are copied from this machine. The agent comes on top.
func (r rootfs) treeSize() int64 { return r.size * 2 / 5 }

// build writes the filesystem as a kernel-mountable ext4 image to path. Its files are this machine's own binaries and
// libraries, and an agent built for this version.
func (r rootfs) build(ctx context.Context, dir, path string) error {
	tree := filepath.Join(dir, "tree-"+r.version)
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := r.copySystem(tree); err != nil {
		return err
	}
	if err := r.addOwn(ctx, tree); err != nil {
		return err
	}
	if err := stamp(tree); err != nil {
		return err
	}
	return makeExt4(ctx, tree, path, r.size)
}

// copySystem copies binaries and libraries of this machine, in a fixed order, until the tree is full.
func (r rootfs) copySystem(tree string) error {
	var copied int64
	var n int
	for _, root := range []string{"/usr/bin", "/usr/sbin", "/usr/lib", "/etc"} {
		quota := copied + r.treeSize()/3
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil // what this user cannot read is simply not in the image
			}
			info, err := d.Info()
			if err != nil || info.Size() == 0 || info.Size() > maxFile || info.Mode().Perm()&0o004 == 0 {
				return nil
			}
			if n++; n%37 == r.drop {
				return nil
			}
			if copied+info.Size() > min(quota, r.treeSize()) {
				return fs.SkipAll
			}
			copied += info.Size()
			return copyFile(path, filepath.Join(tree, path), info.Mode().Perm())
		})
		if err != nil {
			return fmt.Errorf("copying %s into the image: %w", root, err)
		}
	}
	return nil
}

// addOwn adds what changes with each release: the agent, built with the release's version, and os-release.
func (r rootfs) addOwn(ctx context.Context, tree string) error {
	agent := filepath.Join(tree, "usr/bin/fairlead-agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-ldflags", "-s -w -X main.version="+r.version,
		"-o", agent, "github.com/fairlead/fairlead/agent/cmd/fairlead-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the agent for %s: %w\n%s", r.version, err, out)
	}
	release := fmt.Sprintf("ID=base-unit\nPRETTY_NAME=\"Base unit %s\"\nVERSION_ID=%s\n", r.version, r.version)
	if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte(release), 0o644)
}

func copyFile(from, to string, perm fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, perm|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func stamp(tree string) error {
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, imageTime, imageTime)
	})
}

// makeExt4 makes the image without root and without mounting anything: mke2fs copies the tree itself.
func makeExt4(ctx context.Context, tree, path string, size int64) error {
	const id = "6c61756e-6368-4661-9c65-616400000001"
	cmd := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal",
		"-U", id, "-E", "root_owner=0:0,hash_seed="+id, "-d", tree, path, fmt.Sprintf("%dk", size>>10))
	cmd.Env = append(os.Environ(), fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", imageTime.Unix()),
		"PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("making %s: %w\n%s", filepath.Base(path), err, strings.TrimSpace(out.String()))
	}
	return nil
}
