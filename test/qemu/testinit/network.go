//go:build linux

package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// address is that of the machine; its network ends at the next hop, which is the test.
var address = [4]byte{10, 0, 2, 15}

// network gives the only card its address and brings it up. There is no route to anywhere else.
func network() error {
	cards, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, card := range cards {
		if card.Flags&net.FlagLoopback != 0 || len(card.HardwareAddr) != 6 {
			continue
		}
		return configure(card.Name)
	}
	return fmt.Errorf("no network card among %d interfaces", len(cards))
}

func configure(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, step := range []struct {
		request uint
		value   func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address[:]) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		r, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := step.value(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, step.request, r); err != nil {
			return fmt.Errorf("set up %s: %w", name, os.NewSyscallError("ioctl", err))
		}
	}
	return nil
}
