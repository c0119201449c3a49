// Package rauc cuts the power over an installation by RAUC, for comparison with what package crash does to ours: Debian's
// rauc installs an image of a few MiB into a raw slot, with GRUB's environment block as its boot selection, while strace
// writes down what it and grub-editenv do to both. For each prefix of that, and each part of what no sync has reached yet,
// it asks what a bootloader would find. It is a long test, and needs root, for a loop device.
//
// What a medium may hold is what package crash says: any part of the writes since the last sync of the same file, the last
// one perhaps torn between two sectors; a file that was cut to nothing may be so whether or not what was written after it
// is there.
package rauc
