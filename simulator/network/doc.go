// Package network is the line between one unit and the service: its rate, its latency, what it loses, and the hours in which it
// is down. It wraps real connections below TLS, so that what a line does to bytes is done to ciphertext, and the unit and the
// service meet it as they would meet it anywhere.
//
// # What a line does
//
//	rate       bytes a second in each direction, shared by all connections of the unit
//	latency    a round trip: at connecting, and whenever an answer follows on a question
//	loss       the share of turns that are lost: each costs the wait for a retransmission, and one in ten the connection
//	offline    so long of every so long, at a phase of the unit's own
//	portal     a captive portal: who connects is redirected to a page instead
//	proxy      all goes through an HTTP proxy, which is part of the simulator; see [Proxy]
//	corrupt    a bit is turned over every so many bytes received
//
// A loss is played by turns because there are no packets above the kernel's TCP: a simulated line cannot reorder, and cannot
// fill a router's buffer.
//
// # Without the kernel
//
// An [Exchange] connects units and service in one process: no sockets, no descriptors. A connection takes 64 KiB before it is read, ends
// with a reset where a process would be killed, and has deadlines; testing/synctest can tell that whoever waits for it waits. Its
// connections carry TLS, or are plain: then each side believes what the other says of itself, and nothing is encrypted, signed or
// verified but what is above the connection.
//
// Classes, shares and the state of a line may be changed while it is used.
package network
