//go:build long

package service_test

// long runs what takes longer than a test of every day may.
const long = true
