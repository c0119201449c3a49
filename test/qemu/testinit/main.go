//go:build linux

// Testinit is the first process of the machines that package qemu boots: what a small distribution would do around the real
// agent, and nothing of what the agent does. It loads the drivers, brings the network up, mounts the slot that runs, the
// bootloader's partition and the data partition, starts the agent out of the slot, feeds the hardware's watchdog for as long as
// the agent says that it is alive, and reboots when the agent asks for it.
//
// What the machine does reaches the test over the serial line, in lines that begin with "FL ". After "FL ready" it waits for a line
// with the time, in seconds since 1970: up to there no partition but the initial RAM file system was looked at.
//
// Started under the name fairlead-agent it is an agent that does nothing at all.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if filepath.Base(os.Args[0]) == "fairlead-agent" {
		hang()
	}
	if err := run(); err != nil {
		fmt.Println("FL error:", err)
	}
	leave()
}

// leave ends everything in good order and reboots.
func leave() {
	for _, dir := range []string{"/data", "/env", "/slot"} {
		if err := unix.Unmount(dir, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			fmt.Println("FL error: unmount", dir, err)
		}
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	hang()
}

// hang does nothing for ever. An empty select would not do: Go ends a program that waits for nothing.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

func run() error {
	fault, err := os.ReadFile("/fault")
	if err != nil {
		return err
	}
	if string(fault) == "hang" {
		fmt.Println("FL hangs")
		hang()
	}
	if err := mountAll([][3]string{{"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"}}); err != nil {
		return err
	}
	slot, err := running()
	if err != nil {
		return err
	}
	if err := loadModules(string(fault) == "nonet"); err != nil {
		return err
	}
	if string(fault) != "nonet" {
		if err := network(); err != nil {
			return err
		}
	}
	if err := waitForWord(); err != nil {
		return err
	}
	if err := mountAll([][3]string{{"/dev/vda1", "/env", "ext2"}, {map[string]string{"a": "/dev/vda2", "b": "/dev/vda3"}[slot], "/slot", "ext4"}}); err != nil {
		return err
	}
	if err := mountData(); err != nil {
		return err
	}
	return agent(slot)
}

// mountData mounts the data partition. ext4 does not come back by itself from a torn commit block of its journal: e2fsck leaves that
// transaction out, of which nobody was told that it is durable. Distributions ask e2fsck at each start.
func mountData() error {
	data := [][3]string{{"/dev/vda4", "/data", "ext4"}}
	err := mountAll(data)
	if err == nil {
		return nil
	}
	fmt.Println("FL repairs the data partition:", err)
	out, err := exec.Command("/slot/sbin/e2fsck.static", "-y", "/dev/vda4").CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // it found something, and mended it
	}
	if err != nil {
		return fmt.Errorf("e2fsck: %w\n%s", err, out)
	}
	return mountAll(data)
}

func mountAll(all [][3]string) error {
	for _, m := range all {
		flags := uintptr(0)
		if m[1] == "/slot" {
			flags = unix.MS_RDONLY
		}
		if err := unix.Mount(m[0], m[1], m[2], flags, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m[0], m[1], err)
		}
	}
	return nil
}

// running is the slot on the kernel's command line.
func running() (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(string(line)) {
		if slot, ok := strings.CutPrefix(word, "fairlead.slot="); ok {
			return slot, nil
		}
	}
	return "", errors.New("no slot on the kernel's command line")
}

// loadModules loads what /modules lists, in that order.
func loadModules(withoutNetwork bool) error {
	list, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if withoutNetwork && strings.Contains(name, "net") {
			continue
		}
		f, err := os.Open("/" + name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// waitForWord waits for the test, and sets the clock to what it says.
func waitForWord() error {
	fmt.Println("FL ready")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return fmt.Errorf("wait for the test: %w", err)
	}
	now, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return fmt.Errorf("wait for the test: %w", err)
	}
	return unix.Settimeofday(&unix.Timeval{Sec: now})
}

// agent runs the agent of the slot as systemd would: what it says of itself is printed, and whether it lives is what feeds the
// watchdog.
func agent(slot string) error {
	dog := openWatchdog()
	said, err := listen()
	if err != nil {
		return err
	}
	go hear(said, dog)
	fmt.Println("FL slot", slot)
	cmd := exec.Command("/slot/usr/bin/fairlead-agent", "--config", "/data/fairlead/agent.json", "run")
	cmd.Env = []string{"PATH=/", "NOTIFY_SOCKET=" + notifySocket, "WATCHDOG_USEC=2000000"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	dog.feed()
	err = cmd.Run()
	fmt.Println("FL agent ended:", cmd.ProcessState)
	if code := cmd.ProcessState.ExitCode(); code != exitReboot {
		time.Sleep(time.Second) // as a supervisor would, before it starts the agent again
		return fmt.Errorf("the agent ended with %d: %w", code, err)
	}
	return nil
}

// exitReboot is with what the agent asks for a reboot.
const exitReboot = 4
