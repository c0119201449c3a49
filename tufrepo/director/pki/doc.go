// Package pki is the built-in certificate authorities of a service: one that names
// devices, and one that names the server.
//
// # Files
//
// In the folder given to [Open], private keys as plain PKCS #8 with mode 0600:
//
//	device-ca.key device-ca.crt   signs device certificates; nothing else is trusted to
//	server-ca.key server-ca.crt   signs the server's certificate; devices are given the .crt
//	server.key    server.crt      made anew when it is near its end or the names change
//
// # Device certificates
//
// A device makes its key and sends a request; whatever that says of a subject is
// ignored. The certificate has CN = device id, one URI name
// urn:fairlead:{tenant}:{device}, the use "client authentication" alone, and lasts
// [DeviceLifetime]. P-256 and Ed25519 keys are taken, others refused.
//
// # Time
//
// Authorities and the server's certificate are valid from [epoch] on, long before they
// were made: a device that has just been switched on may believe that it is the year in
// which its software was built, and must still be able to connect and learn better.
//
// # What is not promised
//
// There is no revocation list: a device is withdrawn in the director's database, which
// is asked at each connection and request. The authorities are online keys; they give
// access to a connection, not to firmware, which other keys sign.
package pki
