package boot_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// plant adds a variable to one copy, as people do.
func plant(kind string, b []byte) []byte {
	const line = "colour=red"
	if kind == "grub" {
		n := len(bytes.TrimRight(b, "#"))
		copy(b[n:], line+"\n")
		return b
	}
	at := len(b) - size
	if at > 512 || crc32.ChecksumIEEE(b[5:size]) == binary.LittleEndian.Uint32(b) {
		at = 0
	}
	c := b[at : at+size]
	n := bytes.Index(c[5:], []byte{0, 0}) + 6
	copy(c[n:], line)
	binary.LittleEndian.PutUint32(c, crc32.ChecksumIEEE(c[5:]))
	return b
}
