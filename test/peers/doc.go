// Package peers measures Fairlead beside the tools that do the same work, in
// one run, on the same images, on the same machine:
//
//	go test -run '^$' -bench . -timeout 6h ./test/peers
//
// It has benchmarks only. Each prints a table, and the ratios as metrics of
// the benchmark; what must be small is below 1 where Fairlead is ahead.
//
//	PatchSize        bytes of a patch, and what making it takes: xdelta3 -9,
//	                 the same with the whole old image as its window, and
//	                 zstd -19 --ultra --long=31 --patch-from
//	PatchSizeBinary  the same of single executables, with bsdiff
//	Apply            time and memory of making the new image out of old one
//	                 and patch
//	ArtifactSize     bytes of a full artifact, by frame size: zstd -9
//	FullInstall      a whole image into a block device: swupdate, rauc, casync
//	SlowLine         a full install over 20 Mbit/s and 100 ms in each
//	                 direction, by hand and by a direction: what the line
//	                 can carry, and curl; for each way of sending that the
//	                 kernel is set to (cubic, BBR)
//	NoPatchBytes     bytes fetched when there is no patch and the old image is
//	                 in the other slot: casync
//
// # Pairs
//
// A pair is a folder with an old and a new image in each of several formats:
// old.ext4 and new.ext4, old.erofs and new.erofs, and so on; the name after
// the dot is only a name. These are made when a benchmark first needs them:
//
//	go         two patch releases of the Go toolchain: few files differ
//	deb-month  Debian 12, and what its security updates change but the kernel
//	deb-year   Debian 12, and all that they change: every kernel module differs
//	held       arm64 packages of Debian 12 and their updates, containers, node
//	           and a kernel among them. Nobody may tune anything to this pair.
//	bin        single executables of the first three
//	held-bin   single executables of the fourth
//
// The formats are ext4 and plain erofs, and erofs-lz4 and sqfs, which are
// compressed already. The old side is a distribution that does not change any
// more; the new side is what its security archive has at the time. All times,
// identifiers and orders in the images are fixed, so that a difference between
// two images is one between their files.
//
// # Environment
//
// FAIRLEAD_PAIRS is the folder that pairs are made in and found in, also the
// results of peers on them; by default fairlead-pairs in the user's cache. It
// grows to about 30 GB. Remove a pair's folder to have it made anew. What begins
// with a dot was left by a run that was interrupted, and may go.
//
// FAIRLEAD_PAIRS_EXTRA is a folder of more pairs, whoever made them. Those
// whose name ends in "bin" are executables.
//
// The machine must be Linux, with root's rights, Debian's network, and the
// Debian packages that a benchmark names when it misses them.
//
// # How it is measured
//
// Processes are started by GNU time, which reports their processor time and
// the most memory that one of them had resident. What is compared in time is
// run in turns, several rounds, the page cache warm, fsync within the time;
// the median counts. The result of every run is compared with the image.
//
// Peers that take minutes and whose inputs have not changed are not run again:
// their sizes, processor times and patches come out of the cache, and their
// rows say so. The key is the tool, its version, its arguments and the SHA-256
// of both images. Fairlead itself is always run, and so is the peer with whose
// time it is compared.
package peers
