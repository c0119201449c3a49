// Package tuftest is a TUF repository in memory, for tests of clients. It does
// what its test says, good or bad: metadata can be changed freely before
// Publish signs it, and what was published can be changed after. It is not a
// repository for anything else.
//
// Repo serves its files as an http.Handler and, without a network, through
// Open, under the names that package client documents. It records what it is
// asked for.
package tuftest
