// Package keyref finds the key that a reference names, and signs with it wherever it lies.
//
// # References
//
//	alice.key                                    a key file (package keyfile); "./a:b" where a name has a colon
//	pkcs11:token=T;object=O?module-path=/X.so    a key on a token or in an HSM (package tokenuri)
//	ssh-agent:SHA256:…  ssh-agent:COMMENT        a key that ssh-agent holds
//	awskms:// gcpkms:// azurekms:// hashivault:// a key in a cloud or in Vault, in builds with the tag kms, or kms_aws and so on
//
// No other scheme is followed. A reference is often copied from somebody's instructions, and sigstore's library would run
// whatever program on PATH an unknown scheme names.
//
// # Who is trusted
//
// Nobody on the other side. What a key's public half is, is asked once, when it is opened; from then on a signature counts
// only if it verifies with that half (package keyfile), and it enters metadata only where a role names that half. So a
// token that lies, or is exchanged, can refuse, and no more. Answers are limited in size and in time; a program that does
// not answer is killed, with all that it started.
//
// A PIN is given to a token once. A wrong one is not tried again: three of them lock most tokens.
//
// # Tokens
//
// PKCS #11 modules are C libraries. They are loaded by a program of their own, sigstore-kms-pkcs11, which speaks the
// protocol of sigstore's plugins, so that this one needs no cgo, and no module runs in it. Of that protocol this package
// has its own client: sigstore's reads answers without a limit, ends the process on some errors, and on others panics.
// The program is looked for beside this one, then on PATH.
//
// # Not promised
//
// That a key never leaves its token: that is the token's to say. ssh-agent keeps keys in memory, and one that is forwarded
// signs for everybody who is root on the machine that it is forwarded to.
package keyref
