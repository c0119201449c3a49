// Package broker is the embedded MQTT 5 broker: it carries what devices and the
// director say to each other, and nothing else. There are no messages between devices.
//
// # How it works
//
// The protocol engine is mochi-mqtt 2.7.9. Everything in it that decides, stores or
// delivers is taken away from it here:
//
//	who you are    the connection's certificate, or user name and password of the CONNECT: see
//	               Serve and ServeLogin. The client id must be the device id, and everything
//	               below is about that device's own topics, compared as whole strings.
//	               Recheck asks again, so that a withdrawn identity ends open connections.
//	up             a PUBLISH goes to Backend.Message, which stores it; the PUBACK follows.
//	               Where that fails the PUBACK says 0x97 (again later) or 0x99 (never).
//	               Nothing that a device publishes is retained or forwarded.
//	down           the direction is read from the director's database when the device
//	               subscribes and whenever it changes, and sent as a retained message. One
//	               is on its way at a time; the next one is sent after the PUBACK and is
//	               then the newest, whatever was skipped.
//	sessions       end with the connection (Session Expiry 0, said in the CONNACK). The
//	               database remembers what a session would.
//	wills          are checked and dropped: this broker sees itself when a device is gone.
//
// # Known defects of the engine, and what closes each
//
//	a malformed SUBSCRIBE panics           Serve recovers; the connection ends, nobody else's
//	Receive Maximum stalls and deadlocks   the quota is switched off, in-flight is one
//	ACL by prefix                          own ACL on whole topics
//	a will skips the write ACL             its topic is checked at CONNECT; it is never sent
//	a resumed session skips the read ACL   there is nothing to resume; takeover starts empty
//	messages vanish after 24 hours         nothing lives in the engine that long
//	a silent connection lives for ever     a deadline before CONNECT, a bounded keep-alive
//	                                       (of 0 too), and a deadline on each write
//	packets of any size                    MaximumPacketSize, also told in the CONNACK
//	packet ids of both directions mixed    deliveries do not enter the engine's in-flight map
//	QoS 2, AUTH, topic aliases             refused
//
// Each has a test that is named after it and shows the unguarded engine failing.
package broker
