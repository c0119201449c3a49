// Package keyless proves who has signed a Sigstore bundle: not the holder of a key that lies somewhere, but whoever was logged in
// at a moment, a CI job as a rule.
//
// Parties. An issuer of identities knows who is logged in (OpenID Connect). A certificate authority (Fulcio) takes the
// issuer's word, and gives a certificate for ten minutes to a key that was made for this one signature; the certificate names
// issuer and login. A log (Rekor) takes the signature in and signs that it did; a time stamp authority may say when. The bundle
// carries signature, certificate, the log's proof and time stamps, so that nobody has to be asked later.
//
// Who of these is believed says the trusted root, a file of the operator's own: Sigstore's public service, a service of a
// company's, or both. It is never fetched from anywhere. With it the bundle is proved offline:
//
//   - the certificate is by an authority of the trusted root, and has a signed certificate time stamp if the trusted root
//     names logs of certificates;
//   - a log of the trusted root has the signature;
//   - at the time that this log or an authority of the trusted root has signed, the certificate was valid. The clock of this machine
//     has no say;
//   - the signature is by the certificate's key, over the statement in the bundle or over the image.
//
// Whose login is good enough, and whether the statement is about the image, is for the publish policy (package attest).
//
// Promised: a bundle that is longer than attest.MaxStatement, that reads as two things, or that makes the library panic is
// refused with an error. Not promised: that the login was not stolen, that the issuer or the authority are honest, or that
// anybody watches the log.
//
// This package stands apart from package attest because of the weight of sigstore-go: only fairlead-repo has it.
package keyless
