// Package chunk is for devices that have no patch from what they hold: they find those parts of a new image that lie
// somewhere in an old one, and fetch the rest.
//
// # Parties
//
// [Create] runs on the host. It cuts an image into chunks of one size and stores each for itself, compressed. The index of
// the file gives every chunk a hash by which it is found in other images, at any byte, and one of its stored bytes. A
// [Finder] runs on a device: it reads an old image once, and knows then which chunks need not be fetched.
//
// # What is believed
//
// The manifest pins the index. Stored bytes are compared with it before they are decoded ([Index.Expand]). That a chunk was
// found is a guess of 64 bits, made of bytes that may change while they are read: whoever puts an image together compares
// the whole frame with the artifact's index, and takes the frame from the artifact where it differs.
//
// # Finding
//
// The hash is a polynomial over the integers modulo 2^64 whose coefficients stand for bytes (Karp and Rabin, 1987): from
// the hash of a window follows that of the next window in two multiplications, so that files that moved by any distance are
// found, in images that are compressed, too. Two chunks that differ have one hash with a probability of about 2^-64. It
// is no defence against those who choose the bytes, and need not be one.
//
// # Memory
//
// An index of n chunks takes 40 bytes for each, a Finder about 50; n is [MaxChunks] at most, so that both together have
// less than 6 MiB.
package chunk
