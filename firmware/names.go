package firmware

import (
	"fmt"
	"strings"

	"golang.org/x/mod/semver"
)

const (
	digits  = "0123456789"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	letters = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// made tells whether s is one of first and at most most-1 of first and further. A product lists up to 200 releases, and their names
// are looked at over and over: a regular expression takes several times as long.
func made(s string, most int, first, further string) bool {
	if s == "" || len(s) > most || strings.IndexByte(first, s[0]) < 0 {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(first, s[i]) < 0 && strings.IndexByte(further, s[i]) < 0 {
			return false
		}
	}
	return true
}

// CheckProduct reports why s cannot name a product. The name is also that of
// the product's TUF role and part of file names, hence the words kept for TUF.
func CheckProduct(s string) error {
	if !made(s, 64, digits+lower, "._-") || strings.Contains(s, "..") {
		return fmt.Errorf("product %.80q: use 1 to 64 of a-z 0-9 . _ - without \"..\", a letter or digit first", s)
	}
	switch s {
	case "root", "targets", "snapshot", "timestamp":
		return fmt.Errorf("product %q: the name belongs to a TUF role, choose another", s)
	}
	return nil
}

// CheckVersion reports why s cannot name a version. The order of releases is
// that of their counters alone.
func CheckVersion(s string) error {
	if !made(s, 64, digits+letters, "._+-") || strings.Contains(s, "..") {
		return fmt.Errorf("version %.80q: use 1 to 64 of 0-9 A-Z a-z . _ + - without \"..\", a letter or digit first", s)
	}
	return nil
}

// CheckHardware reports why s cannot be a compatible string of hardware.
func CheckHardware(s string) error {
	if !made(s, 64, digits+letters, "._,-") {
		return fmt.Errorf("hardware %.80q: use 1 to 64 of 0-9 A-Z a-z . _ , - with a letter or digit first", s)
	}
	return nil
}

// CheckAttestationType reports why s cannot be the type of an attestation.
func CheckAttestationType(s string) error {
	if !made(s, 128, digits+letters, "._:/?#=;+-") {
		return fmt.Errorf("attestation type %.160q: use a media type or URI of at most 128 characters", s)
	}
	return nil
}

// TargetPath is the TUF target path of a release manifest. Both names must
// have passed their checks.
func TargetPath(product, version string) string {
	return product + "/" + version + ".json"
}

// ParseTargetPath undoes TargetPath and accepts nothing else.
func ParseTargetPath(p string) (product, version string, err error) {
	product, file, found := strings.Cut(p, "/")
	version, isJSON := strings.CutSuffix(file, ".json")
	if !found || !isJSON {
		return "", "", fmt.Errorf("target path %.160q: want PRODUCT/VERSION.json", p)
	}
	if err := CheckProduct(product); err != nil {
		return "", "", fmt.Errorf("target path %.160q: %w", p, err)
	}
	if err := CheckVersion(version); err != nil {
		return "", "", fmt.Errorf("target path %.160q: %w", p, err)
	}
	return product, version, nil
}

// AgentAtLeast reports whether an agent of agentVersion may install what wants
// min. Both are MAJOR.MINOR.PATCH[-PRE] as semver.org 2.0.0 has it; an empty
// min asks for nothing.
func AgentAtLeast(agentVersion, min string) (bool, error) {
	if err := checkSemver(agentVersion); err != nil {
		return false, fmt.Errorf("agent version: %w", err)
	}
	if min == "" {
		return true, nil
	}
	if err := checkSemver(min); err != nil {
		return false, fmt.Errorf("least agent version: %w", err)
	}
	return semver.Compare("v"+agentVersion, "v"+min) >= 0, nil
}

func checkSemver(s string) error {
	if len(s) > 64 || !semver.IsValid("v"+s) || semver.Canonical("v"+s) != "v"+s {
		return fmt.Errorf("%.80q is not of the form MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRE", s)
	}
	return nil
}
