// Package boot holds the model of each bootloader (agent/boot) against the real one: the scripts of docs/boot.md run in
// GRUB and in U-Boot over many environments, and the slot that they choose, and what they leave, is compared with the model's.
package boot
