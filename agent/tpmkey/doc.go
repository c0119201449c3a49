// Package tpmkey keeps a device's key in a TPM 2.0: the key is made there, signs there, and cannot be taken out.
//
// Parties. Whoever copies the disk of a device gets a file that no other TPM takes. Whoever runs code on the device as root can
// have the TPM sign for as long as they do, and cannot carry the key away. The TPM itself need not be trusted for what it
// answers: every signature is verified before it is used.
//
// The file. PEM "TSS2 PRIVATE KEY", DER within, as OpenSSL's provider for TPMs and tpm2-tools read and write it:
//
//	SEQUENCE {
//	  OID 2.23.133.10.1.3            loadable key
//	  [0] BOOLEAN TRUE               it has no password
//	  INTEGER 0x40000001             its parent: the owner hierarchy's primary key, by TCG's template for ECC storage keys
//	  OCTET STRING TPM2B_PUBLIC
//	  OCTET STRING TPM2B_PRIVATE     encrypted by the parent
//	}
//
// Nothing is written into the TPM: the parent is made anew from the TPM's own seed each time, and is the same each time until
// somebody clears the TPM. The key is ECDSA on P-256, fixed to this TPM and parent, without dictionary attack protection, which
// has nothing to protect where there is no password: so wrong passwords for other keys do not lock this one.
//
// Each signature opens the TPM, loads parent and key, signs, flushes both and closes the TPM: nothing is held that others could
// miss, and a TPM that was reset in between does not matter. /dev/tpmrm0 shares it with other programs.
//
// Not promised: secrecy of what is signed on the bus between processor and TPM; a key that survives a change of board.
package tpmkey
