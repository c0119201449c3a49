// Package link is the device's connection to its service: outbound only, normally to one
// TCP port 443.
//
// # Ways to the service
//
// The ladder, tried from the top, the last good rung first:
//
//	mqtts  MQTT 5 over TLS, picked on the service's port by ALPN "mqtt"
//	wss    MQTT 5 over WebSocket, GET /mqtt, subprotocol "mqtt"
//	https  requests only: GET /v1/direction with ETag, POST /v1/reports
//
// The last one is not a rung that is chosen: whenever neither of the others is up it does
// their work, more slowly. Even beside a good MQTT connection the direction is asked for
// every few hours, which heals whatever a broker lost. From a lower rung the link looks once
// a day whether the top is open again. All three go through the same dialer, so an HTTP
// proxy (CONNECT, Basic authentication from its URL) serves all of them.
//
// # Down
//
// The link subscribes to two exact topics, direction and cmd, and hands what comes to a
// [Handler]. It believes nothing of it: the direction is signed, and is verified elsewhere.
// The same direction may come many times.
//
// # Up
//
//	events    drained from the outbox, oldest first, acknowledged there only after the
//	          service has: PUBACK, or 200 with the number of the last one stored
//	reported  the newest only, and again after every new connection
//	presence  online after connecting, offline on a clean stop, and offline as the will; a
//	          nonce per connection lets the service ignore a will that is late
//	progress  QoS 0, throttled, over MQTT only
//	replies   to commands, over MQTT only
//
// # Another broker
//
// Config.Broker names an MQTT 5 broker that is not the service, as Mosquitto. It is believed in
// less: it acknowledges what nobody has stored, and forgets what it retained when it is
// killed. So directions, commands, presence, progress and replies go through it, and events and
// reports over HTTPS, always.
//
// # Identity
//
// Config.Certificate is asked before every handshake. Renew gets another certificate with the
// one that the link has; whoever keeps it says NewCertificate then, because TLS resumes
// sessions, and a resumed session still speaks for the old one.
//
// # Herds and wars
//
// Every wait is random, the first one too, and grows with failures up to a cap, of polls too; a connection
// must hold for a minute before it counts as a success. What the service asks for with
// Retry-After is kept, up to an hour. A service that refuses the identity is left alone for
// long. So is one that says three times in ten minutes that another client took the session
// over: then two devices have the same identity, as after the copying of an image, and
// would throw each other out for ever. The link reports that over HTTPS.
//
// # What a hostile service can do
//
// Nothing of what comes is larger than 128 KiB before it is known to be wanted, and only
// those MQTT packets are let in that a client of these topics needs. Whoever holds the
// broker can keep the device waiting, and no more.
//
// # What is not promised
//
// Proxies with NTLM, Kerberos or a PAC file; networks that open TLS connections on their
// way, where client certificates cannot work (the link says so); that an acknowledged event
// is sent only once; delivery of commands to a device that is not connected.
package link
