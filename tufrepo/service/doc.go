// Package service is a running fairlead-repo: one TLS port for devices, one port for
// operators, and the loops that keep signed things fresh.
//
// # The device port
//
// One TCP port, TLS 1.2 or later. What the client offers by ALPN decides:
//
//	mqtt       MQTT 5, see tufrepo/director/broker; with a client certificate, or an access key
//	           as the password of the CONNECT
//	http/1.1,  GET  /metadata/… /targets/… /blobs/…     everybody, see tufrepo.Repo.Handler
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
// Plain HTTP, meant for 127.0.0.1 or a network of operators: /healthz and /metrics for
// everybody there, /api/v1 (package api) with the bearer token of operator.token.
//
// # Files, in {repository}/state/service
//
//	lock              held while the service runs
//	fairlead.db       the director's database, see tufrepo/director/store
//	ca/               certificate authorities, see tufrepo/director/pki
//	keys/             online keys of the tenants, see tufrepo/director
//	operator.token    made at the first start, mode 0600
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
