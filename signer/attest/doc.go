// Package attest makes an SBOM of a root file system, from what its package manager has written down.
//
// The folder is the root file system that the image was made of, unpacked or mounted. It is foreign: no link leads out of
// it, files are read up to a limit, and nothing in it is run. Read are
//
//	var/lib/dpkg/status, var/lib/dpkg/status.d/*            dpkg (deb)
//	lib/apk/db/installed, usr/lib/apk/db/installed          apk
//	usr/lib/opkg/status, var/lib/opkg/status                opkg
//	etc/os-release, usr/lib/os-release                      ID, for package URLs
//	usr/share/doc/<package>/copyright                       licences of deb packages, where it is in the machine-readable form
//
// The SBOM is CycloneDX 1.6 as JSON. The same folder always gives the same bytes: it has no serial number and no time.
//
// Not promised: that every file of the image belongs to a package. What was copied in by hand is in no database.
package attest
