// Package remote speaks to devices through an MQTT 5 broker that somebody else runs, such as
// Mosquitto, in the place of the embedded one.
//
// # What the broker is trusted with
//
// It can delay, drop and replay, and can say that a device is there which is not. It cannot
// direct a device: directions are signed. Who a device is the broker asks for, by the
// device's certificate, and its access list keeps every device to its own topics; a topic
// whose device is not one of that tenant, or is revoked, is ignored here.
//
// # What goes through it
//
//	down  directions: to a device that says that it is there, and whenever they change
//	up    presence, progress, replies
//
// Events and reports go over HTTPS to the service, because a broker acknowledges before
// anybody has stored them: see agent/link. Nothing is retained, and nothing depends on what the
// broker remembers: it may be killed at any time. A direction that could not be published is
// published when the broker is back; a device that comes back says so and gets it anyway.
//
// # Several directors
//
// Each has a connection of its own. What devices say is shared among them by the
// subscription ($share, MQTT 5, 4.8.2); their sessions end with the connection, so that nothing
// is handed to one that is gone.
package remote
