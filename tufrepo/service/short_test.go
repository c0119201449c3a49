//go:build !long

package service_test

const long = false
