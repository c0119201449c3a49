// Package mirror puts an image repository into a bucket of S3-compatible object storage, from where devices, or a cache
// in front of it, fetch it by plain HTTPS.
//
// The repository's folder stays the truth. A run lists the published state (tufrepo.Contents), then the bucket, and
// uploads what the bucket lacks in the order of a publish, one object durable before the next: blobs, manifests and
// proofs, product roles, targets, the log, the snapshot; then the timestamp, by one PUT, then new roots, newest first.
// Where the newest root of the bucket does not vouch for the new timestamp, the roots go before the timestamp, and
// devices that look between the two fail to verify and try again; a mirror that runs after every publish meets that
// only where the publish itself has met it. A crash at any other point leaves devices of the bucket on the old state
// or the new one, and the next run completes the work.
//
// Objects have the repository's names below the prefix, and:
//
//	Content-Type, Cache-Control   as fairlead-repo serve says them: immutable for a year, no-cache for the timestamp
//	x-amz-meta-sha256             of the content, in hexadecimal
//	Content-MD5                   of each request, so that the store refuses what was changed on the way
//
// An object counts as there if its size is right, and either its sha256 says what it must, or its ETag is the MD5 of
// the file. It is then never put again. Blobs are held against their names as they are read: one that has rotted in the
// folder never becomes an object.
//
// Nothing is removed but on request, and then by the rules of the repository's own gc: when the bucket's timestamp has
// not led to it for a grace, which is never shorter than the life of a timestamp. Roots stay. Since when objects are
// of no use stands in the folder:
//
//	mirror/lock              held by the one who mirrors
//	mirror/<bucket>.json     names, and since when nothing in the bucket leads there
//
// where <bucket> is the first 16 hexadecimal digits of the SHA-256 of endpoint, line feed, and s3://BUCKET/PREFIX.
//
// The bucket need not be trusted: devices verify. Its owner can withhold, and freeze until the timestamp expires. A
// bucket that shows a newer timestamp than the folder is left alone: another repository is published there, or this one
// was restored from an old backup.
package mirror
