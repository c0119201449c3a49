// Package install brings an image into a slot.
package install
