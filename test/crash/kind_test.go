package crash

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// blank has the empty environment that a device leaves the factory with.
func (k bootKind) blank(m *Medium) *Medium {
	if k == ubootBoot {
		m.Put(bootDir+"/disk", make([]byte, 2*envSize))
		return m
	}
	head := []byte("# GRUB Environment Block\n")
	for _, name := range []string{"/env.0", "/env.1"} {
		m.Put(bootDir+name, append(slices.Clone(head), bytes.Repeat([]byte("#"), 1024-len(head))...))
	}
	return m
}

// scenarios of GRUB and of U-Boot: updates over an environment that is in order, and over one of whose copies one is not.
func (k bootKind) scenarios() []scenario {
	older := func(b *builder) *Medium {

		return b.after(k.blank(b.delivered()), b.older)
	}
	all := []scenario{{name: string(k) + ", other slot older", make: older}}
	if k == ubootBoot {
		all = append(all, scenario{name: "uboot, the flag turns over", make: func(b *builder) *Medium { return flagged(older(b), 253) }})
	} else {
		all = append(all, scenario{name: "grub, second copy torn", make: func(b *builder) *Medium { return spoiled(older(b)) }})
	}
	for i := range all {
		all[i].kind = k
	}
	return all
}

// spoiled has garbage over the second block of GRUB's environment.
func spoiled(m *Medium) *Medium {
	m.Put(bootDir+"/env.1", bytes.Repeat([]byte{0xff}, 1024))
	return m
}

// flagged counts the copies of U-Boot's environment on from a flag.
func flagged(m *Medium, flag byte) *Medium {
	data, err := m.ReadFile(bootDir + "/disk")
	if err != nil {
		panic(err)
	}
	data = slices.Clone(data)
	first := min(data[4], data[envSize+4])
	for at := 0; at < len(data); at += envSize {
		data[at+4] = data[at+4] - first + flag
		if crc32.ChecksumIEEE(data[at+5:at+envSize]) != binary.LittleEndian.Uint32(data[at:]) {
			panic("no environment")
		}
	}
	m.Put(bootDir+"/disk", data)
	return m
}
