// Package service is a running fairlead-repo: one TLS port for devices, one port for
// operators, and the loops that keep signed things fresh.
//
// # The device port
//
// One TCP port, TLS 1.2 or later. What the client offers by ALPN decides:
//
//	mqtt       MQTT 5, see tufrepo/director/broker; with a client certificate, or an access key
//	           as the password of the CONNECT
//	http/1.1,  GET  /metadata/… /targets/… /blobs/… /log/…  everybody, see tufrepo.Repo.Handler
//	or none    GET  /director/{tenant}/{N}.root.json    everybody
//	           POST /v1/enroll                          whoever has a claim, or a certificate to renew
//	           GET  /v1/direction                       a device: its own
//	           POST /v1/reports                         a device: of itself
//	           GET  /mqtt                               a device: MQTT over WebSocket
//
// HTTP/2 is not offered: devices make few requests, and its ways to exhaust a server are
// not needed here.
//
// A client certificate is asked for and may be absent; one that is given must be of the
// built-in device authority. Who the device is comes from the certificate, or from an access
// key in the Authorization header; its row in the database is looked up at every request and
// connection, so revoking works at once. Connections that last are ended when the director
// says that their identity was withdrawn; what another director on the same database has
// withdrawn is looked for every Limits.Recheck.
//
// # Limits
//
// Connections in all and per second, time for the handshake, for headers, for a body, and
// for each write; sizes of headers and bodies; enrolments per remote address. A client that
// is over a limit gets 429 or 503 with Retry-After, or, before TLS, a closed connection.
//
// # The operator port
//
// Plain HTTP, meant for 127.0.0.1 or a network of operators: /healthz, /metrics and the
// description of the API (package openapi) for everybody there; /api/v1 (package api) with an
// API token, see tufrepo/director/access.
//
// All of /api/v1 goes through one table, [operatorRoute]: each row names the permission that a
// call needs and the action that stands in the audit log. Who calls, and whether they may, is
// settled before the handler runs, or, where the path does not say whose thing it is, by the
// handler itself, whose answer is held back until it has asked. The entry of a change is
// written by its own transaction; see tufrepo/director/auditlog. A call that is refused leaves
// an entry, too: the first of a kind at once, the rest of a minute summed up.
//
// A refusal because of the tenant is the same, in the answer and in the log, whether
// the tenant exists or not, and stands in the log of the caller's own organisation.
//
// The heads of the audit log are signed when the service starts, when a day begins, and when
// it ends.
//
// # Files, in {repository}/state/service
//
//	lock              held while the service runs
//	fairlead.db       the director's database, see tufrepo/director/store
//	ca/               certificate authorities, see tufrepo/director/pki
//	keys/             online keys of the tenants, see tufrepo/director
//	keys/audit.…      the key that signs heads of the audit log, and the public half
//	operator.token    API token of an admin of the service, made where it is missing, mode 0600
//	operator.addr     URL of the operator port, for the commands on the same machine
//
// Elsewhere, so that nobody copies it along: the key file under which keys/ is encrypted, see
// [OpenKeyFile], and the newest generation of the database that was seen, see [GenerationFile].
// A backup has all of the state folder; see [Restore].
//
// # The end
//
// When its context ends a service takes no more connections, lets requests finish, and ends
// MQTT connections spread over up to a few seconds, so that the fleet does not come back at once.
package service
