// Command conformance lets theupdateframework's tuf-conformance suite, and
// whoever likes, drive tufrepo/client. It speaks the command line that the
// suite's CLIENT-CLI.md asks of a client under test:
//
//	conformance --metadata-dir DIR init TRUSTED_ROOT
//	conformance --metadata-dir DIR --metadata-url URL refresh
//	conformance --metadata-dir DIR --metadata-url URL --target-name PATH [--target-name PATH ...]
//	    --target-base-url URL --target-dir DIR download
//
// It exits with 0 if everything was done, 1 if anything failed, 2 if the
// command line is wrong.
//
// DIR holds the trusted metadata unversioned and byte for byte as served; what
// else the client keeps is below DIR/.state. The time comes from "date +%s":
// the suite fakes it with faketime, which does not reach a Go program. A target
// is kept in the target folder under its path, escaped to one name, and not
// fetched again while it matches.
//
// The client under test is the device's own, with nothing switched off. In one
// place this command and the client see things differently: for a timestamp of
// the version we have, and other content, the client reports a conflict, while
// section 5.4.3 of the specification wants it discarded without an error. This
// command does what the specification says.
//
// To run the suite itself: go build -o client ./test/conformance, then
// pytest tuf_conformance --entrypoint "$PWD/client".
package main
