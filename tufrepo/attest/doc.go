// Package attest reads what is said about a release beside its signatures: of what it is made, and by whom it was
// built. It also judges a release by a publish policy, the operator's word on what must be said before a release goes out.
//
// Parties. The build system makes an SBOM and signs a provenance statement with a key of its own. The release engineer
// attaches both: the manifest pins their digests, so that the product's signatures cover them. The publisher asks the
// policy. Devices do not read attestations; they could, since blobs are public and pinned.
//
// What is read:
//
//	application/vnd.cyclonedx+json   CycloneDX 1.2 to 1.7, JSON (ECMA-424)
//	application/spdx+json            SPDX 2.2 and 2.3, JSON (ISO/IEC 5962), and SPDX 3.0, JSON-LD
//	https://slsa.dev/provenance/v1   a DSSE 1.0 envelope with an in-toto Statement v1 with SLSA provenance v1, bare or in a Sigstore bundle
//	https://openvex.dev/ns/v0.2.0    OpenVEX 0.2.0, JSON: which vulnerabilities do no harm in the release
//	https://cyclonedx.org/bom          the same envelope around a CycloneDX SBOM; with /v1.6 and the like at the end, too
//	https://spdx.dev/Document          the same envelope around an SPDX SBOM; with /v2.3 and the like at the end, too
//	any type that a policy names       the same envelope with another predicate, or a Sigstore bundle over the image
//
// All of it is foreign: sizes are limited, then strictjson has a look, then a few members are read. Members that are not
// read here may hold anything that strictjson lets through.
//
// A provenance statement counts for a release only if one of its subjects is the image, by SHA-256. A name, a file of that
// name or the artifact is not enough: what devices run is the image.
//
// A build system signs with a key that the policy has, or with an identity: a certificate says who was logged in, and a log when.
// Package keyless proves that; what identity is good enough, the policy says.
//
// A VEX document has no signature of its own here: it speaks with the voice of the product's people, whose signatures cover it,
// and clears only what the policy lets it.
//
// Promised: [Policy.Judge] names every reason at once, in words. Not promised: that an SBOM is complete or true; that a
// licence was named rightly by whoever made the SBOM; that an advisory was looked for anywhere but in the policy's own list.
package attest
