package agent

import (
	"github.com/fairlead/fairlead/agent/boot"
	"github.com/fairlead/fairlead/firmware/durable"
)

// Types of a bootloader.
const (
	bootFile  = "file"
	bootGRUB  = "grub"
	bootUBoot = "uboot"
)

// DefaultEnvSize is that of one copy of U-Boot's environment, in bytes.
const DefaultEnvSize = 4096

// BootConfig says how the agent tells the bootloader what to boot; docs/boot.md has the bootloader's half.
type BootConfig struct {
	Type string `json:"type"` // "file", "grub" or "uboot"
	// Dir is the folder of the state, of type file, or of the environment blocks env.0 and env.1, of type grub.
	Dir string `json:"dir,omitempty"`
	// Copies are the two copies of the environment, of type uboot.
	Copies []BootPlace `json:"copies,omitempty"`
	// Size is that of each copy, in bytes; 0 means DefaultEnvSize.
	Size int64 `json:"size,omitempty"`
	// Tries is how often a new release may be started until it is committed, 1 to 7; 0 means 1.
	Tries int `json:"tries,omitempty"`
}

// BootPlace is where a copy lies.
type BootPlace struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset,omitempty"` // in bytes
}

// open opens the bootloader of the configuration.
func (c BootConfig) open(disk durable.Disk) (boot.Bootloader, error) {
	o := boot.EnvOptions{Tries: c.Tries, Disk: disk}
	switch c.Type {
	case bootGRUB:
		return boot.OpenGRUB(c.Dir, o)
	case bootUBoot:
		size := c.Size
		if size == 0 {
			size = DefaultEnvSize
		}
		return boot.OpenUBoot([2]boot.Place{boot.Place(c.Copies[0]), boot.Place(c.Copies[1])}, size, o)
	}
	return boot.OpenFile(c.Dir, boot.FileOptions{Tries: c.Tries, Disk: disk})
}

func (c BootConfig) check() error {
	if c.Tries < 0 || c.Tries > 7 {
		return keyError("bootloader.tries", "%d is not within 1 and 7", c.Tries)
	}
	switch c.Type {
	case bootFile, bootGRUB:
		if c.Dir == "" {
			return keyError("bootloader.dir", "missing: name the folder that the bootloader reads")
		}
		if c.Copies != nil || c.Size != 0 {
			return keyError("bootloader", "\"copies\" and \"size\" are of type \"uboot\", not %q", c.Type)
		}
		return nil
	case bootUBoot:
		return c.checkUBoot()
	}
	return keyError("bootloader.type", "%q is not known, only \"file\", \"grub\" and \"uboot\"", c.Type)
}

// checkUBoot leaves sizes and offsets to package boot, which knows them.
func (c BootConfig) checkUBoot() error {
	if c.Dir != "" {
		return keyError("bootloader.dir", "is not of type \"uboot\", which has \"copies\"")
	}
	if len(c.Copies) != 2 || c.Copies[0].Path == "" || c.Copies[1].Path == "" {
		return keyError("bootloader.copies", "want the paths and offsets of two copies, as in fw_env.config: [{\"path\": \"/dev/mmcblk0\", \"offset\": 1048576}, …]")
	}
	return nil
}

// paths are those that may be relative.
func (c *BootConfig) paths() []*string {
	all := []*string{&c.Dir}
	for i := range c.Copies {
		all = append(all, &c.Copies[i].Path)
	}
	return all
}
