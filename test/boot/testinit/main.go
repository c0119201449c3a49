//go:build linux

// Testinit is the first process of the disk that TestGRUBBootsADisk boots: it does to the real boot state what an agent would,
// by the release that its slot holds.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/fairlead/fairlead/agent/boot"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("FL error:", err)
		down(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

func down(how int) {
	unix.Sync()
	_ = unix.Reboot(how)
	select {}
}

func run() error {
	for _, m := range [][3]string{{"proc", "/proc", "proc"}, {"dev", "/dev", "devtmpfs"}, {"/dev/nvme0n1p1", "/env", "ext2"}} {
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	release, err := os.ReadFile("/release")
	if err != nil {
		return err
	}
	e, err := boot.OpenGRUB("/env/fairlead", boot.EnvOptions{Tries: 2})
	if err != nil {
		return err
	}
	s, err := e.State()
	if err != nil {
		return err
	}
	fmt.Printf("FL %s: %+v\n", strings.TrimSpace(string(release)), s)
	return act(strings.TrimSpace(string(release)), e, s)
}

func act(release string, e *boot.Env, s boot.State) error {
	next := unix.LINUX_REBOOT_CMD_POWER_OFF
	switch {
	case release == "bad":
		next = unix.LINUX_REBOOT_CMD_RESTART
	case s.Lost || s.Trial == s.Running:
		if err := e.Commit(s.Running); err != nil {
			return err
		}
		next = unix.LINUX_REBOOT_CMD_RESTART
	case release == "first" && !s.Of(s.Running.Other()).Failed:
		if err := e.Forbid(s.Running.Other()); err != nil {
			return err
		}
		if err := e.Try(s.Running.Other()); err != nil {
			return err
		}
		next = unix.LINUX_REBOOT_CMD_RESTART
	default:
		fmt.Println("FL at rest")
	}
	down(next)
	return nil
}
