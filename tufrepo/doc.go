// Package tufrepo keeps the image repository: it takes bundles in, keeps the
// online metadata fresh, removes what nobody needs any more, and serves the
// rest.
//
// Parties. Release engineers sign bundles offline (package bundle). The
// publisher, this package, verifies them as a device would and holds two
// online keys, timestamp and snapshot: with them it can freeze the fleet until
// metadata expires, and cannot make or mix firmware. Devices (package client)
// read over HTTP, or from a copy of the folder, or from a packed zip.
//
// The folder.
//
//	metadata/timestamp.json                     the only file whose content changes
//	metadata/<N>.{root,targets,snapshot}.json
//	metadata/<N>.<product>.json
//	targets/<product>/<sha256>.<version>.json   release manifests
//	targets/…json.<policy>.tlog-proof           proofs that they stand in the log
//	targets/<sha256>.tlog-policy.txt            which log and witnesses devices believe
//	log/                                        the log (package tlog/logdir)
//	blobs/<sha256>
//	state/                                      not served
//	  repository.json                           what Init was told; there once Init is done
//	  lock                                      held by whoever writes
//	  keys/<name>.key .pub                      online keys, plain PKCS #8, mode 0600
//	  keys/<name>.ref .pub                      online keys that lie elsewhere: a reference (package keyref)
//	  log/log.key                               the log's key
//	  unreferenced.json                         since when files are of no use
//
// Every entry of timestamp and snapshot has length and SHA-256. The timestamp
// carries "x-fairlead-issued", RFC 3339 in UTC, by which a device without a
// clock learns the time.
//
// Publish, in this order, each file durable before the next: the blobs, compared
// with their hash as they are copied; manifests; product roles; the log policy;
// targets; where the policy asks for it, entries in the log, cosignatures of its
// checkpoint and proofs; the new snapshot; then the client itself tries the result, with the timestamp that is
// not there yet laid over the folder, from the first root and from the newest;
// then the timestamp, by one rename. Up to there nothing that a device can reach
// has changed. A crash leaves files that nothing names: the next publish or
// renew writes over them or Collect removes them.
//
// A new root is seen as soon as it is there. While it comes, a device may have
// the old root or the new, so snapshot and timestamp are signed with the online
// keys of both, and if both roots also vouch for targets, the order of timestamp
// and root does not matter: the roots go last, newest first, so that the chain
// appears in one step. Before the first publish, and where the old root does not
// vouch for what the new one brings (the old keys of targets or the old online
// keys are gone), the roots go just before the timestamp instead. In the second
// case devices that look between those two renames fail to verify and try again;
// a crash there makes them fail until the publish is run again, or until Renew
// if only online keys changed.
//
// Promised: files that a device can reach are never changed, but for the
// timestamp; a root, once there, is never replaced by other bytes; two
// publishers do not mix; whoever looks sees the old state or the new.
//
// The log. Nobody at a desk has a step more for it: publish enters what is new,
// after it has verified the bundle and before it signs anything that leads a
// device there, asks the witnesses, and lays the proof beside the manifest. A
// policy that is new has proofs of its own, under names of its own, of all
// releases; so a device finds the proof for the policy that it has. LogBundle is
// for desks that want to see a release in the log before they sign it. What a
// publish that was cut short has entered stays in the log, and the next finds it.
//
// A repository that was restored from an old backup has numbers that devices
// have seen already, and they refuse it as a rollback. New online keys and a
// root that names them (Repo.NewKey) make devices forget the numbers of the old.
//
// Not promised: that a copy made while a publish runs is whole (take the
// timestamp last); safety from somebody who can write to the folder.
package tufrepo
