// Package listing reads and prints a product's file, a TUF targets role with up to 200 releases, where it has the one form that
// this toolchain gives it. Each step from a release to its publication reads and prints such a file several times, and a device
// reads it with every release; go-tuf takes a dozen turns through the text for one reading, and prints all of it anew for every
// key that may have signed.
//
// In that form nothing can be written in two ways: there is no white space, members stand in one order, targets are sorted by
// path, numbers are whole and have no sign, hashes are one SHA-256 in lower-case hex, custom objects are as [Custom] prints, and
// texts have no character that JSON could escape. So what is printed of it is also its canonical JSON, over which signatures
// are made, and the bytes that were read are the bytes that were signed.
//
// For whatever else Read, Print, Join and Signed return nil, and callers go the long way, by strictjson and go-tuf: what is
// accepted, and how it is printed and signed, is the same with and without this package, which FuzzListing holds it to.
// Signatures, expiries and versions are for callers to judge.
package listing

import "github.com/theupdateframework/go-tuf/v2/metadata"

// Meta is the metadata of a targets role.
type Meta = metadata.Metadata[metadata.TargetsType]

// MaxBytes is the longest text that Read looks at.
const MaxBytes = 5_000_000

// plain tells whether a text stands in JSON as it is, however it is printed.
func plain(s string) bool {
	for i := range len(s) {
		if !plainByte(s[i]) {
			return false
		}
	}
	return true
}

func plainByte(c byte) bool {
	return c >= ' ' && c <= '~' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
}
