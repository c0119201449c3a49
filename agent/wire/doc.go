// Package wire is what a device and its service say to each other: MQTT topics,
// the messages on them, and the bodies of the HTTPS requests that carry the same
// things where MQTT cannot pass. The agent, the director and the simulator share
// it; it does no I/O.
//
// # Topics
//
// Five levels, no wildcards, QoS 0 or 1:
//
//	fw/v1/{tenant}/{device}/direction  down, retained, QoS 1: the signed direction, see tufrepo/direction
//	fw/v1/{tenant}/{device}/cmd        down, expiring, QoS 1: [Cmd]
//	fw/v1/{tenant}/{device}/presence   up, retained, QoS 1, also the will: [Presence]
//	fw/v1/{tenant}/{device}/reported   up, QoS 1: [Reported], the newest state only
//	fw/v1/{tenant}/{device}/event      up, QoS 1: [Event], one per message, from the outbox
//	fw/v1/{tenant}/{device}/progress   up, QoS 0, throttled: [Progress]
//	fw/v1/{tenant}/{device}/reply      up, QoS 1: [Reply]
//
// The tenant and the device are known from the credential; a service compares the
// topic with it and never believes the topic alone. The same two names stand in the
// device certificate: see [DeviceURI].
//
// # HTTPS
//
//	POST /v1/enroll     [EnrollRequest] -> [EnrollResponse]; with the device's certificate and
//	                    no claim: another certificate for the same key
//	GET  /v1/direction  -> the signed direction, ETag; 304 when it is the one named by
//	                    If-None-Match; 404 or 204 when nothing was ever directed
//	POST /v1/reports    [Reports] -> [ReportsAck]
//	GET  /mqtt          WebSocket, subprotocol "mqtt"
//	GET  /director/{tenant}/{N}.root.json
//
// Every other answer of these than 2xx and 304 has an [ErrorBody]; 429 and 503 have Retry-After
// in seconds.
//
// # Delivery
//
// Events arrive at least once and in no promised order. (Epoch, Seq) names an event
// for ever: a service stores it under that name and takes a second arrival as success.
// It acknowledges (PUBACK, or 200 with [ReportsAck]) only what it has stored. Reported,
// Presence and Progress replace the one before; a lost one is never missed.
//
// An offline Presence counts only if its nonce is that of the last online one: a will
// that fires late must not hide a device that came back.
//
// # Evolution
//
// JSON, member "s" is the major version of the schema: 1. Members are only added.
// Decoders ignore members they do not know, and refuse another major version,
// duplicate members, null, wrong types, and whatever is longer than its limit. Times are
// RFC 3339, UTC.
//
// # History
//
//	2026-11-22  first form: topics, messages, enrolment, directions, reports
//	2026-11-22  state staged; answers (say, until) in Event; wait and offline in Reported
package wire
