// Package soak lets one real agent live through many updates, commands and reconnections without a reboot, and looks
// whether it grows: its memory, its open files, its threads. It is a long test (make test-long): half an hour, or as long as
// SOAK says.
package soak
