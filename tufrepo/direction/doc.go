// Package direction is the director's signed word to one device: install this
// release, or nothing.
//
// # Parties
//
// The director of a tenant signs with the tenant's online key, which the
// tenant's director root names for the targets role. The device holds that root
// and nothing else of the director. Whoever carries a direction (an MQTT broker,
// a proxy, an HTTPS server) can delay it or lose it; it cannot change it, pass it
// to another device, or bring an old one back.
//
// # Format
//
// A direction is a TUF targets file of at most [MaxSize] bytes, signed by one key
// or more. It has no delegations and at most one target, the release manifest of
// the image repository. Beside the members that TUF defines, signed holds
// "x-fairlead-direction":
//
//	{"signed": {
//	   "_type": "targets", "spec_version": "1.0.31",
//	   "version": 7,                           grows by one with every direction to this device
//	   "expires": "2026-09-08T10:00:00Z",      short: the director issues it anew before then
//	   "targets": {"base/1.1.0.json": {
//	      "length": 812, "hashes": {"sha256": "…"},
//	      "custom": {"counter": 2, "hardware": "base-unit-1"}}},
//	   "x-fairlead-direction": {
//	      "schema": 1, "tenant": "acme", "device": "9f0c…", "hardware": "base-unit-1",
//	      "issued": "2026-09-01T10:00:00Z",
//	      "update": "4e1d…",
//	      "kind": "soft",                      forced (as without it), soft, download_only, ask
//	      "until": "2026-09-02T04:00:00Z",     the end of the window, if there is one
//	      "defer_until": "2026-09-04T10:00:00Z"}}, of soft, and of ask if there is such a moment
//	 "signatures": [{"keyid": "…", "sig": "…"}]}
//
// "update" names one attempt at one release. It stays the same when the direction
// is only issued anew, so that a device whose attempt has ended does not start
// again; a new attempt has a new name. A direction without a target has an empty
// "targets" and no "update", and still names its device: else it could be played
// to any other.
//
// # Terms
//
// "kind" says how the target is to be taken; see [Kind]. A question (ask) names the release
// that it is about as its target: the device makes sure that it is genuine and fits before
// it asks anybody, and installs nothing. The direction that follows a question may have its
// name in "update"; then the answer holds for it. "until" ends the beginning of things: a
// device that has not begun to reboot by then waits for another direction, and keeps what
// it has fetched.
//
// A direction without a target that has "offline": true, and an "update" that names this
// order, switches the cloud connection of the device off. It is switched on again at the
// device only; an order that was obeyed is not obeyed again.
//
// A kind that the reader does not know is refused, because to take it for another would do
// what nobody asked for. A director sends other kinds than forced only to agents that know
// them.
//
// Members that this version does not know are kept under the signature and
// otherwise ignored, inside "x-fairlead-direction" too. A schema other than 1 is
// refused.
//
// # What is checked where
//
// [Verify] checks the bytes, the signatures, the shape and the expiry. It does not
// know which device asks or what that device has seen before: tenant, device and
// the version floor are the caller's (see tufrepo/client).
//
// # What is not promised
//
// Whoever holds the online key can choose among genuine releases, hold them back, and
// switch devices off the cloud. That a release is genuine is the image repository's word,
// which the device asks for separately.
package direction
