package crash

import (
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/firmware/durable"
)

// bootKind is a kind of bootloader.
type bootKind string

const (
	fileBoot  bootKind = ""
	grubBoot  bootKind = "grub"
	ubootBoot bootKind = "uboot"
)

// envSize is that of a copy of U-Boot's environment here: two sectors, so that it can be torn between them.
const envSize = 2 * sector

// player is both halves of a bootloader. test/boot holds those of GRUB and U-Boot against the real ones.
type player interface {
	boot.Bootloader
	Boot() (boot.Slot, error)
}

// open opens the bootloader of a device on which a slot runs; "" before anything does.
func (k bootKind) open(disk durable.Disk, running boot.Slot) (player, error) {
	switch k {
	case grubBoot:
		return boot.OpenGRUB(bootDir, boot.EnvOptions{Disk: disk, Running: running})
	case ubootBoot:
		at := bootDir + "/disk"
		return boot.OpenUBoot([2]boot.Place{{Path: at}, {Path: at, Offset: envSize}}, envSize, boot.EnvOptions{Disk: disk, Running: running})
	}
	return boot.OpenFile(bootDir, boot.FileOptions{Disk: disk})
}
